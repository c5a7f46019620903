"""A folder of images, one subfolder a class."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from training.datasets.image_dataset import ImageDataset
from training.datasets.image_files import ImageFiles
from training.datasets.progress import loading_progress

OnBadImage = Literal["error", "skip"]

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a")
_NAMED_AT_MOST = 20


class _Probe(NamedTuple):
    """What decoding a file showed: its shape, or the reason why it is no image."""

    shape: tuple[int, int, int] | None
    problem: str | None


def load_image_folder(
    folder: str | os.PathLike[str], *, on_bad_image: OnBadImage = "error"
) -> ImageDataset:
    """Load a folder of images, one subfolder a class.

    Classes are the subfolders in sorted order; folders below a class are walked (links to folders
    are not followed). Hidden files and folders, and files beside the class folders, are ignored.
    An image's id is its path relative to `folder` with forward slashes; all are part "train".

    Every file is decoded once, so a broken one shows here and not in the middle of training. What
    counts is the content, not the extension: JPEG, PNG, BMP (no colour palette, which TensorFlow
    reads wrongly) or GIF (first frame).

    Args:
        folder: The folder that holds the class folders.
        on_bad_image: "error", or "skip" to leave bad files out with a warning that names them.

    Returns:
        The data set. Files are read again whenever they are used. `image_shape` holds the height
        and width when all images share them, and 3 channels as soon as one image has colour.

    Raises:
        FileNotFoundError: when `folder` does not exist.
        NotADirectoryError: when it is a file.
        ValueError: on a bad file (unless skipped), an empty class, or fewer than two classes.
    """
    if on_bad_image not in ("error", "skip"):
        raise ValueError(f"`on_bad_image` must be 'error' or 'skip'. Received: {on_bad_image!r}")
    root = Path(folder)
    class_names = _class_names(root)
    files = [(path, label) for label, name in enumerate(class_names) for path in _walk(root / name)]
    probes = _probe_all([path for path, _ in files])

    ids = [path.relative_to(root).as_posix() for path, _ in files]
    problems = {
        image_id: probe.problem
        for image_id, probe in zip(ids, probes, strict=True)
        if probe.problem
    }
    if problems:
        _report(problems, len(files), root, on_bad_image)

    kept = [position for position, image_id in enumerate(ids) if image_id not in problems]
    targets = np.array([files[position][1] for position in kept], dtype=np.int64)
    _require_images_in_each_class(targets, class_names, root)
    return ImageDataset(
        name="folder",
        images=ImageFiles([files[position][0] for position in kept]),
        labels=np.eye(len(class_names), dtype=np.uint8)[targets],
        ids=[ids[position] for position in kept],
        class_names=class_names,
        part=np.full(len(kept), "train"),
        image_shape=_common_shape([shape for shape, _ in probes if shape is not None]),
        skipped=tuple(problems),
    )


def _class_names(root: Path) -> list[str]:
    if not root.exists():
        raise FileNotFoundError(f"The folder of images {str(root)!r} does not exist")
    if not root.is_dir():
        raise NotADirectoryError(f"{str(root)!r} is a file; a folder of images was expected")
    names = sorted(
        entry.name for entry in root.iterdir() if entry.is_dir() and not _is_hidden(entry.name)
    )
    if not names:
        raise ValueError(
            f"The folder {str(root)!r} has no class folder: put the images of each class in a "
            "subfolder named after it"
        )
    if len(names) < 2:
        raise ValueError(
            f"The folder {str(root)!r} has one class folder, {names[0]!r}; "
            "retrieval needs at least 2 classes"
        )
    return names


def _walk(class_folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(class_folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (Path(parent, name) for name in sorted(files) if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _probe_all(paths: list[Path]) -> list[_Probe]:
    probes = []
    with (
        loading_progress("Checking images", len(paths)) as advance,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as threads,
    ):
        for probe in threads.map(_probe, paths):
            probes.append(probe)
            advance(1)
    return probes


def _probe(path: Path) -> _Probe:
    try:
        content = path.read_bytes()
    except OSError as error:
        return _Probe(None, f"cannot be read ({error.strerror})")
    if not content.startswith(_SIGNATURES):
        return _Probe(None, "is not a JPEG, PNG, BMP or GIF image")
    if _is_colour_palette_bmp(content):
        return _Probe(None, "is a BMP with a colour palette, whose colours TensorFlow cannot read")
    try:
        with tf.device("CPU"):
            # As preprocessing does it.
            image = tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError:
        return _Probe(None, "cannot be decoded: it is damaged or of a kind TensorFlow cannot read")
    height, width = image.shape[:2]
    has_colour = bool((image != image[..., :1]).any())
    return _Probe((height, width, 3 if has_colour else 1), None)


def _is_colour_palette_bmp(content: bytes) -> bool:
    if not content.startswith(b"BM") or int.from_bytes(content[28:30], "little") > 8:
        return False
    start = 14 + int.from_bytes(content[14:18], "little")
    end = int.from_bytes(content[10:14], "little")
    palette = np.frombuffer(content[start:end], dtype=np.uint8)
    entries = palette[: len(palette) // 4 * 4].reshape(-1, 4)[:, :3]
    grey_ramp = np.arange(len(entries))[:, np.newaxis]
    return not np.array_equal(entries, np.broadcast_to(grey_ramp, entries.shape))


def _report(
    problems: dict[str, str], file_count: int, root: Path, on_bad_image: OnBadImage
) -> None:
    listed = [f"  {image_id} {problem}" for image_id, problem in problems.items()]
    if on_bad_image == "skip":
        warnings.warn(
            f"Skipped {len(problems)} of {file_count} files of {str(root)!r}:\n"
            + "\n".join(listed),
            stacklevel=3,
        )
        return
    if len(listed) > _NAMED_AT_MOST:
        listed[_NAMED_AT_MOST:] = [f"  and {len(listed) - _NAMED_AT_MOST} more"]
    raise ValueError(
        f"{len(problems)} of {file_count} files of {str(root)!r} are no usable images:\n"
        + "\n".join(listed)
        + "\nRemove them, or leave them out with on_bad_image='skip'."
    )


def _require_images_in_each_class(targets: np.ndarray, class_names: list[str], root: Path) -> None:
    counts = np.bincount(targets, minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if empty:
        raise ValueError(f"The folder {str(root)!r} has classes without an image: {empty}")


def _common_shape(
    shapes: list[tuple[int, int, int]],
) -> tuple[int | None, int | None, int | None]:
    heights, widths, channels = (set(values) for values in zip(*shapes, strict=True))
    return (
        heights.pop() if len(heights) == 1 else None,
        widths.pop() if len(widths) == 1 else None,
        max(channels),
    )
