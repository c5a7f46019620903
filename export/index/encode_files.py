"""The codes of image files, with what is wrong with those that are none."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.index.file_encoder import FileEncoder, check_takes
from keras_hashing.files.image_verdict import DAMAGED, report, unreadable, verdict

OnBadImage = Literal["error", "skip"]


class EncodedFiles(NamedTuple):
    """The codes of image files.

    Attributes:
        codes: packed codes, uint8, shape [n, K/8]; or continuous codes, float32 [n, K].
        paths: the file of each code, n paths.
        skipped: why each file that was left out is no usable image.
    """

    codes: NDArray
    paths: list[Path]
    skipped: dict[Path, str]


def encode_files(
    encoder: FileEncoder,
    paths: Sequence[str | os.PathLike[str]],
    batch_size: int = 64,
    on_bad_image: OnBadImage = "error",
    continuous: bool = False,
) -> EncodedFiles:
    """Encodes image files, with the contents of `batch_size` files in memory at a time.

    Args:
        encoder: what encodes.
        paths: JPEG, PNG, WebP, BMP or GIF files of any sizes; of repeated ones, the first counts.
        batch_size: files that are read and encoded together.
        on_bad_image: "error" to fail on a file that cannot be read or is no image, "skip" to
            leave it out and say so in the result.
        continuous: whether continuous codes are wanted in place of packed ones.

    Returns:
        Codes and paths of the images in the order given, and what was skipped.

    Raises:
        ValueError: if files cannot be read or decoded (they are named by reason), the encoder takes
            vectors, or an argument breaks its rule.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
    if on_bad_image not in ("error", "skip"):
        raise ValueError(f"`on_bad_image` must be 'error' or 'skip'. Received: {on_bad_image!r}")
    check_takes(encoder.vector_width, None)
    encode = encoder.continuous_bytes if continuous else encoder.encode_bytes
    codes: list[NDArray] = []
    encoded: list[Path] = []
    skipped: dict[Path, str] = {}
    files = list(dict.fromkeys(map(Path, paths)))

    def refuse(position: int, problem: str) -> None:
        skipped[files[position]] = problem

    for start in range(0, len(files), batch_size):
        batch = range(start, min(start + batch_size, len(files)))
        good, batch_codes = encode_batch(encode, lambda at: files[at].read_bytes(), batch, refuse)
        codes.append(batch_codes)
        encoded += [files[position] for position in good]
    if skipped and on_bad_image == "error":
        problems = {str(path): problem for path, problem in skipped.items()}
        raise ValueError(report(problems, f"{len(files)} files"))
    return EncodedFiles(np.concatenate(codes or [encode([])]), encoded, skipped)


def encode_batch(
    encode: Callable[[Sequence[bytes]], NDArray],
    read: Callable[[int], bytes],
    positions: range,
    refuse: Callable[[int, str], None],
) -> tuple[list[int], NDArray]:
    """Encodes the image files that can be read and decoded.

    Args:
        encode: gives the codes of the contents of files; raises `ValueError` if one is no image.
        read: gives the content of the file at a position; raises `OSError` if it cannot.
        positions: the files.
        refuse: called with the position of each other file, and what is wrong with it.

    Returns:
        The positions of the good files, and their codes.
    """
    contents = {}
    for position in positions:
        try:
            content = read(position)
        except OSError as error:
            refuse(position, unreadable(error))
            continue
        if problem := verdict(content):
            refuse(position, problem)
        else:
            contents[position] = content
    try:
        return list(contents), encode(list(contents.values()))
    except ValueError:  # it does not say which
        good = {}
        for position, content in contents.items():
            try:
                good[position] = encode([content])
            except ValueError:
                refuse(position, DAMAGED)
        return list(good), np.concatenate([encode([]), *good.values()])
