"""Whether files are images: each is decoded once, before anything is trained on them."""

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from keras_hashing.command_line.progress import loading_progress
from keras_hashing.files.image_verdict import DAMAGED, report, unreadable, verdict, write_verdicts
from keras_hashing.images.header import check_size
from keras_hashing.images.orientation import orientations
from keras_hashing.images.preprocessing import decode_image
from training.settings.data import OnBadImage


class ImageProbe(NamedTuple):
    """What decoding a file showed: its shape, or the reason why it is no image."""

    shape: tuple[int, int, int] | None
    problem: str | None


def check_on_bad_image(on_bad_image: str) -> None:
    """Refuses what is neither "error" nor "skip", by a `ValueError`."""
    if on_bad_image not in ("error", "skip"):
        raise ValueError(f"`on_bad_image` must be 'error' or 'skip'. Received: {on_bad_image!r}")


def probe_images(paths: Sequence[Path]) -> list[ImageProbe]:
    """Decodes each file as preprocessing does it.

    Returns:
        One probe a file, in order; its shape has 3 channels when the image has colour, else 1.
    """
    probes = []
    with (
        loading_progress("Checking images", len(paths)) as advance,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as threads,
    ):
        for probe in threads.map(_probe, paths):
            probes.append(probe)
            advance(1)
    return probes


def _probe(path: Path) -> ImageProbe:
    try:
        content = path.read_bytes()
    except OSError as error:
        return ImageProbe(None, unreadable(error))
    problem = verdict(content)
    if problem:
        return ImageProbe(None, problem)
    try:
        with tf.device("CPU"):  # as preprocessing does it
            image = decode_image(check_size(tf.constant(content))).numpy()
            if orientations(tf.constant([content]))[0] >= 5:
                image = image.swapaxes(0, 1)
    except tf.errors.OpError:
        return ImageProbe(None, DAMAGED)
    height, width = image.shape[:2]
    has_colour = bool((image != image[..., :1]).any())
    return ImageProbe((height, width, 3 if has_colour else 1), None)


def report_bad_images(
    problems: Mapping[str, str],
    of: str,
    on_bad_image: OnBadImage,
    warn: bool = True,
    hint: str = "",
) -> None:
    """Tells of files that are no usable images, as an error or as a warning.

    Args:
        problems: What is wrong with each file, by its name.
        of: What they are some of, such as "5 files of 'images'".
        on_bad_image: "error" or "skip".
        warn: Whether to warn of those that are left out.
        hint: A sentence more for the error.

    Raises:
        ValueError: when `on_bad_image` is "error".
    """
    if on_bad_image == "skip":
        if warn:
            warnings.warn(report(problems, of, left_out=True), stacklevel=4)
        return
    raise ValueError(
        f"{report(problems, of)}\nMend or remove them, or leave them out with on_bad_image='skip' "
        f"(--on-bad-image skip).{hint}"
    )


def list_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Writes down which files are left out and why, and says where; nothing if there are none."""
    if skipped:
        write_verdicts(path, skipped)
        warnings.warn(f"The files left out are listed in {path}", stacklevel=3)


def common_shape(
    shapes: list[tuple[int, int, int]],
) -> tuple[int | None, int | None, int | None]:
    """(height, width, channels): None where sizes differ, 3 channels as soon as one has colour."""
    heights, widths, channels = (set(values) for values in zip(*shapes, strict=True))
    return (
        heights.pop() if len(heights) == 1 else None,
        widths.pop() if len(widths) == 1 else None,
        max(channels),
    )
