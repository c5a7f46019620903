"""A data set by its name."""

import os
from typing import TYPE_CHECKING, Literal

from training.data.dataset_place import check_place
from training.data.image_dataset import ImageDataset
from training.data.sources.digits import load_digits
from training.data.sources.image_folder import load_image_folder
from training.data.sources.image_probe import OnBadImage
from training.data.sources.list_files import load_list_files
from training.data.sources.tfds_dataset import load_tfds
from training.data.sources.vectors import VectorDataset, load_vectors

if TYPE_CHECKING:
    from training.settings import DataSettings


def load_dataset(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    on_bad_image: OnBadImage = "error",
    image_root: str | os.PathLike[str] | None = None,
    warn: bool = True,
    unlabelled: bool | None = None,
    unlabelled_dir: str | os.PathLike[str] | None = None,
) -> ImageDataset:
    """Load a data set of images by its name.

    Args:
        name: "digits" (scikit-learn's, no download), "folder" (a folder of images, one subfolder a
            class), "lists" (HashNet's list files), or a TFDS name such as "cifar10" or
            "cifar10:3.0.2".
        data_dir: The folder of images, or of list files, or where TFDS keeps its prepared data (its
            own default when None). Not used by "digits".
        download: Whether TFDS may download and prepare a data set that is not in `data_dir`.
        on_bad_image: For a folder and for list files: "error" to fail on a file that is not a
            readable image, "skip" to leave it out with a warning.
        unlabelled: For a folder: whether its images have no labels. True reads those in subfolders
            too; None is for False.
        unlabelled_dir: For a folder: more images, without labels, as in `load_image_folder`.
        image_root: For list files: where their relative paths start; `data_dir` when None.
        warn: Whether to warn of files that are left out or passed over; a command that goes on with
            what another began does not tell of them again.

    Returns:
        The data set, with every part it has.

    Raises:
        ValueError: when the name is unknown (close names are listed), that of vectors, or the
            data set does not fit, or `image_root` is given for another data set than "lists".
        FileNotFoundError: when the folder or the prepared data does not exist.
        NotADirectoryError: when the folder is a file.
    """
    check_place(name, data_dir, download=download, image_root=image_root)
    if name == "digits":
        return load_digits()
    if name == "vectors":
        raise ValueError("This needs a data set of images. Received: 'vectors'")
    if data_dir is not None and name == "folder":
        labels: Literal["subfolders", "none"] = "none" if unlabelled else "subfolders"
        return load_image_folder(
            data_dir,
            on_bad_image=on_bad_image,
            labels=labels,
            warn=warn,
            unlabelled_dir=unlabelled_dir,
        )
    if data_dir is not None and name == "lists":
        return load_list_files(data_dir, image_root, on_bad_image=on_bad_image, warn=warn)
    return load_tfds(name, data_dir, download=download)


def load_data(place: "DataSettings", warn: bool = True) -> ImageDataset | VectorDataset:
    """The data that settings name, of images or of vectors; otherwise as `load_dataset`."""
    if place.dataset == "vectors":
        assert place.data_dir is not None  # the early checks refuse it
        return load_vectors(place.data_dir)
    return load_dataset(
        place.dataset,
        place.data_dir,
        download=place.download,
        on_bad_image=place.on_bad_image,
        image_root=place.image_root,
        warn=warn,
        unlabelled=place.unlabelled,
        unlabelled_dir=place.unlabelled_dir,
    )
