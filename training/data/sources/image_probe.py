"""Whether files are images: each is decoded once, before anything is trained on them."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_hashing.command_line.progress import loading_progress
from keras_hashing.images.header import MOST_PIXELS, TOO_LARGE, check_size
from training.settings.data import OnBadImage

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a")
_NAMED_AT_MOST = 20


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

    Args:
        paths: The files.

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
        return ImageProbe(None, f"cannot be read ({error.strerror})")
    if not content.startswith(_SIGNATURES):
        return ImageProbe(None, "is not a JPEG, PNG, BMP or GIF image")
    if _is_colour_palette_bmp(content):
        return ImageProbe(
            None, "is a BMP with a colour palette, whose colours TensorFlow cannot read"
        )
    try:
        with tf.device("CPU"):
            # As preprocessing does it.
            checked = check_size(tf.constant(content))
            image = tf.io.decode_image(checked, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        if TOO_LARGE in error.message:
            return ImageProbe(None, f"has more than {MOST_PIXELS} pixels")
        return ImageProbe(
            None, "cannot be decoded: it is damaged or of a kind TensorFlow cannot read"
        )
    height, width = image.shape[:2]
    has_colour = bool((image != image[..., :1]).any())
    return ImageProbe((height, width, 3 if has_colour else 1), None)


def _is_colour_palette_bmp(content: bytes) -> bool:
    if not content.startswith(b"BM") or int.from_bytes(content[28:30], "little") > 8:
        return False
    start = 14 + int.from_bytes(content[14:18], "little")
    end = int.from_bytes(content[10:14], "little")
    palette = np.frombuffer(content[start:end], dtype=np.uint8)
    entries = palette[: len(palette) // 4 * 4].reshape(-1, 4)[:, :3]
    grey_ramp = np.arange(len(entries))[:, np.newaxis]
    return not np.array_equal(entries, np.broadcast_to(grey_ramp, entries.shape))


def report_bad_images(bad: list[str], of: str, on_bad_image: OnBadImage, hint: str = "") -> None:
    """Names files that are no usable images, as an error or as a warning.

    Args:
        bad: One line a file: its name and what is wrong.
        of: What they are some of, such as "5 files of 'images'".
        on_bad_image: "error" or "skip".
        hint: A sentence more for the error.

    Raises:
        ValueError: when `on_bad_image` is "error"; it names the first of them.
    """
    listed = [f"  {line}" for line in bad]
    if on_bad_image == "skip":
        warnings.warn(f"Skipped {len(bad)} of {of}:\n" + "\n".join(listed), stacklevel=4)
        return
    if len(listed) > _NAMED_AT_MOST:
        listed[_NAMED_AT_MOST:] = [f"  and {len(listed) - _NAMED_AT_MOST} more"]
    raise ValueError(
        f"{len(bad)} of {of} are no usable images:\n"
        + "\n".join(listed)
        + "\nRemove them, or leave them out with on_bad_image='skip' (--on-bad-image skip)."
        + hint
    )


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
