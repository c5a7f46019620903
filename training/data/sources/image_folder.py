"""A folder of images, one subfolder a class."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.data.image_dataset import ImageDataset
from training.data.sources.image_files import ImageFiles
from training.data.sources.image_probe import (
    OnBadImage,
    check_on_bad_image,
    common_shape,
    probe_images,
    report_bad_images,
)


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
    check_on_bad_image(on_bad_image)
    root = Path(folder)
    class_names = _class_names(root)
    files = [(path, label) for label, name in enumerate(class_names) for path in _walk(root / name)]
    probes = probe_images([path for path, _ in files])

    ids = [path.relative_to(root).as_posix() for path, _ in files]
    problems = {
        image_id: probe.problem
        for image_id, probe in zip(ids, probes, strict=True)
        if probe.problem
    }
    if problems:
        report_bad_images(
            [f"{image_id} {problem}" for image_id, problem in problems.items()],
            f"{len(files)} files of {str(root)!r}",
            on_bad_image,
        )

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
        image_shape=common_shape([shape for shape, _ in probes if shape is not None]),
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


def _require_images_in_each_class(targets: np.ndarray, class_names: list[str], root: Path) -> None:
    counts = np.bincount(targets, minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if empty:
        raise ValueError(f"The folder {str(root)!r} has classes without an image: {empty}")
