"""The codes of image files, with what is wrong with those that are none."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.index.file_encoder import FileEncoder
from keras_hashing.retrieval.packed_width import packed_width

OnBadImage = Literal["error", "skip"]
Refuse = Callable[[Path, str], None]  # takes a file and what is wrong with it


class EncodedFiles(NamedTuple):
    """The codes of image files.

    Attributes:
        codes: packed codes, uint8, shape [n, K/8].
        paths: the file of each code, n paths.
        skipped: why each file that was left out is no usable image.
    """

    codes: NDArray[np.uint8]
    paths: list[Path]
    skipped: dict[Path, str]


def encode_files(
    encoder: FileEncoder,
    paths: Sequence[str | os.PathLike[str]],
    batch_size: int = 64,
    on_bad_image: OnBadImage = "error",
) -> EncodedFiles:
    """Encodes image files, with the contents of `batch_size` files in memory at a time.

    Args:
        encoder: what encodes.
        paths: JPEG, PNG, BMP or GIF files of any sizes; of repeated ones, the first counts.
        batch_size: files that are read and encoded together.
        on_bad_image: "error" to fail on a file that cannot be read or is no image, "skip" to
            leave it out and say so in the result.

    Returns:
        Codes and paths of the images in the order given, and what was skipped.

    Raises:
        ValueError: if a file cannot be read or is no image that TensorFlow can decode (it is
            named), or an argument breaks its rule.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
    if on_bad_image not in ("error", "skip"):
        raise ValueError(f"`on_bad_image` must be 'error' or 'skip'. Received: {on_bad_image!r}")
    codes = [np.empty((0, packed_width(encoder.bits)), dtype=np.uint8)]
    encoded: list[Path] = []
    skipped: dict[Path, str] = {}

    def refuse(path: Path, problem: str) -> None:
        if on_bad_image == "error":
            raise ValueError(f"{str(path)!r} {problem}")
        skipped[path] = problem

    files = list(dict.fromkeys(map(Path, paths)))
    for start in range(0, len(files), batch_size):
        contents = _read(files[start : start + batch_size], refuse)
        try:
            batch_codes = encoder.encode_bytes(list(contents.values()))
        except ValueError:  # the graph does not say which
            contents = _decodable(encoder, contents, refuse)
            batch_codes = encoder.encode_bytes(list(contents.values()))
        codes.append(batch_codes)
        encoded += contents
    return EncodedFiles(np.concatenate(codes), encoded, skipped)


def _decodable(
    encoder: FileEncoder, contents: dict[Path, bytes], refuse: Refuse
) -> dict[Path, bytes]:
    """Returns the files that the graph can decode."""
    decodable = {}
    for path, content in contents.items():
        try:
            encoder.encode_bytes([content])
            decodable[path] = content
        except ValueError:
            refuse(path, "is no image that TensorFlow can decode")
    return decodable


def _read(files: list[Path], refuse: Refuse) -> dict[Path, bytes]:
    """Returns the contents of the files that can be read."""
    contents = {}
    for path in files:
        try:
            contents[path] = path.read_bytes()
        except OSError as error:
            refuse(path, f"cannot be read ({error.strerror})")
    return contents
