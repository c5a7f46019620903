"""Where the images of a data set are, checked before any is read. Loads no TensorFlow."""

import os
from typing import TYPE_CHECKING

from keras_hashing.files.image_folder import existing_folder
from keras_hashing.files.vector_file import open_vectors

if TYPE_CHECKING:
    from training.settings import DataSettings

_FOLDERS = {
    "folder": "folder of images",
    "lists": "folder of lists",
    "vectors": "file of vectors",
}


def check_data(place: "DataSettings") -> None:
    """`check_place` of the data that settings name."""
    check_place(place.dataset, place.data_dir, download=place.download, image_root=place.image_root)
    if place.unlabelled_dir is not None:
        check_place("folder", place.unlabelled_dir)


def check_place(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    image_root: str | os.PathLike[str] | None = None,
) -> None:
    """Refuses a data set that is unknown or not there; the arguments are those of `load_dataset`.

    Raises:
        ValueError: when the name is unknown, `data_dir` is missing, or `image_root` is given for
            another data set than "lists".
        FileNotFoundError: when the folder or the prepared data does not exist.
        NotADirectoryError: when the folder is a file.
    """
    if image_root is not None and name != "lists":
        raise ValueError(f"`image_root` goes with data set 'lists' only. Received: {name!r}")
    if name == "digits":
        return
    if name not in _FOLDERS:
        from training.data.sources.tfds_builder import prepared_builder

        prepared_builder(name, data_dir, download=download)
        return
    if data_dir is not None and name == "vectors":
        open_vectors(data_dir)
        return
    if data_dir is None:
        raise ValueError(f"Data set {name!r} needs `data_dir` (--data-dir), the {_FOLDERS[name]}")
    for what, folder in ((_FOLDERS[name], data_dir), ("image root", image_root)):
        if folder is not None:
            existing_folder(folder, what)
