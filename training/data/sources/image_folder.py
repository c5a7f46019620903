"""A folder of images, one subfolder a class."""

import os
from pathlib import Path
from typing import Literal

import numpy as np

from keras_hashing.files.image_folder import (
    class_folders,
    existing_folder,
    find_files,
    image_files,
    warn_of_others,
)
from training.data.image_dataset import ImageDataset
from training.data.sources.image_files import ImageFiles
from training.data.sources.image_probe import (
    OnBadImage,
    check_on_bad_image,
    common_shape,
    probe_images,
    report_bad_images,
)

_NO_CLASS = -1
_KIND = "folder of images"


def load_image_folder(
    folder: str | os.PathLike[str],
    *,
    on_bad_image: OnBadImage = "error",
    labels: Literal["subfolders", "none"] = "subfolders",
    warn: bool = True,
    unlabelled_dir: str | os.PathLike[str] | None = None,
) -> ImageDataset:
    """Load a folder of images, one subfolder a class.

    Classes are the subfolders in sorted order; each is walked as `find_files` does it. Files beside
    the class folders are ignored. An image's id is its path relative to `folder` with forward
    slashes; all are part "train".

    Every file is decoded once, so a broken one shows here and not in the middle of training. What
    counts is the content, not the extension: JPEG, PNG, WebP, BMP (no colour palette, which
    TensorFlow reads wrongly) or GIF (first frame).

    Args:
        folder: The folder that holds the class folders, or the images.
        on_bad_image: "error", or "skip" to leave bad files out with a warning that names some.
        labels: "subfolders", or "none" for a data set without labels (and without classes): all
            images in the folder and its subfolders.
        warn: Whether to warn of what is left out and passed over.
        unlabelled_dir: A folder of more images, without labels: a subfolder of `folder`, which is
            then no class, or a folder elsewhere, whose name begins their ids.

    Returns:
        The data set. Files are read again whenever they are used. `image_shape` holds the height
        and width when all images share them, and 3 channels as soon as one image has colour.

    Raises:
        FileNotFoundError: when `folder` does not exist.
        NotADirectoryError: when it is a file.
        ValueError: on a bad file (unless skipped), an empty class, or fewer than two classes.
    """
    check_on_bad_image(on_bad_image)
    root = existing_folder(folder, _KIND)
    more = None if unlabelled_dir is None else existing_folder(unlabelled_dir, _KIND)
    class_names = [] if labels == "none" else _class_names(root, more)
    found = [find_files(root / name) for name in class_names or ["."]]
    if warn:
        warn_of_others([path for of_class in found for path in of_class.others], root)
    files = [(path, label) for label, of_class in enumerate(found) for path in of_class.images]
    ids = [path.relative_to(root).as_posix() for path, _ in files]
    if more is not None:
        others = image_files(more) if warn else sorted(find_files(more).images)
        files += [(path, _NO_CLASS) for path in others]
        ids += [path.relative_to(more.parent).as_posix() for path in others]
    probes = probe_images([path for path, _ in files])

    problems = {
        image_id: probe.problem
        for image_id, probe in zip(ids, probes, strict=True)
        if probe.problem
    }
    if problems:
        of = f"{len(files)} files of {str(root)!r}"
        report_bad_images(problems, of, on_bad_image, warn)

    kept = [position for position, image_id in enumerate(ids) if image_id not in problems]
    targets = np.array([files[position][1] for position in kept], dtype=np.int64)
    if not kept:
        raise ValueError(f"The folder {str(root)!r} holds no image file")
    labelled = targets != _NO_CLASS
    _require_images_in_each_class(targets[labelled], class_names, root)
    return ImageDataset(
        name="folder",
        images=ImageFiles([files[position][0] for position in kept]),
        labels=np.eye(len(class_names), dtype=np.uint8)[targets] * labelled[:, None]
        if class_names
        else np.zeros((len(kept), 0), np.uint8),
        ids=[ids[position] for position in kept],
        class_names=class_names,
        part=np.full(len(kept), "train"),
        image_shape=common_shape([shape for shape, _ in probes if shape is not None]),
        skipped=problems,
        labelled=None if labelled.all() else labelled,
    )


def _overlap(folder: Path, other: Path) -> bool:
    folder, other = folder.resolve(), other.resolve()
    return folder.is_relative_to(other) or other.is_relative_to(folder)


def _class_names(root: Path, unlabelled: Path | None) -> list[str]:
    names = class_folders(root)
    if unlabelled is not None:
        inside = {name for name in names if _overlap(root / name, unlabelled)}
        if inside and unlabelled.resolve() not in [(root / name).resolve() for name in inside]:
            raise ValueError(
                "`unlabelled_dir` must be no class folder's folder or subfolder. "
                f"Received: {str(unlabelled)!r}, class folders in {str(root)!r}"
            )
        names = [name for name in names if name not in inside]
    if not names:
        raise ValueError(
            f"The folder {str(root)!r} has no class folder: put the images of each class in a "
            "subfolder named after it, or use it `unlabelled`"
        )
    if len(names) < 2:
        raise ValueError(
            f"The folder {str(root)!r} has one class folder, {names[0]!r}; labels need at least 2 "
            "classes. Use the images without labels (`unlabelled`), or give the folder above"
        )
    return names


def _require_images_in_each_class(targets: np.ndarray, class_names: list[str], root: Path) -> None:
    if not class_names:
        return
    counts = np.bincount(targets, minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if empty:
        raise ValueError(f"The folder {str(root)!r} has classes without an image: {empty}")
