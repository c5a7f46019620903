"""Which images, and where they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from keras_hashing.files.image_folder import RULE, class_folders
from keras_hashing.settings import Settings

OnBadImage = Literal["error", "skip"]


def is_unlabelled(values: Mapping[str, Any]) -> bool:
    """Whether these settings are of images without labels, by themselves or by the folder."""
    if values.get("unlabelled") is not None:
        return bool(values["unlabelled"])
    folder = values.get("data_dir")
    if values.get("dataset") != "folder" or folder is None or not Path(folder).is_dir():
        return False
    return not class_folders(Path(folder))


class DataSettings(Settings):
    """Which images, where they are, and the size that the model sees them in."""

    model_config = ConfigDict(title="Data set")

    dataset: str = "digits"
    """'digits' (no download), 'folder' (--data-dir holds one subfolder per class, or images without
    labels), 'vectors' (--data-dir is a file of vectors that another model made), 'lists'
    (--data-dir holds HashNet's test.txt, train.txt and database.txt), or the name of a TFDS data
    set, such as cifar10."""
    data_dir: str | None = Field(
        default=None,
        description="Folder of the images, of the list files, or of TFDS' prepared data. "
        f"Of images: {RULE}",
    )
    image_root: str | None = None
    """With 'lists': folder that relative paths start from. (default: --data-dir)"""
    unlabelled: bool | None = None
    """With 'folder': the images have no labels; those in subfolders are read too. (default: if the
    folder has no subfolders)"""
    unlabelled_dir: str | None = None
    """With 'folder': images without labels that are trained on beside those in class folders, by
    --instance-method and quantization. They are in the index, never queries, and in no figure."""
    download: bool = False
    """Let TFDS download and prepare the data set."""
    on_bad_image: OnBadImage = "error"
    """How to handle unreadable image files in a folder or list: stop with an error, or skip them.
    """
    height: int | None = Field(default=None, ge=1)
    """Height that images are resized to. (default: that of the pretrained backbone for photographs
    in files, else the originals')"""
    width: int | None = Field(default=None, ge=1)
    """Width that images are resized to. (default: as for --height)"""
    channels: Literal[1, 3] | None = None
    """1 (grey) or 3 (RGB). (default: the originals')"""

    def moved(self, data_dir: str | None, image_root: str | None) -> Self:
        """The same data where it is now; None for where it was."""
        now = {"data_dir": data_dir, "image_root": image_root}
        return self.model_copy(update={name: at for name, at in now.items() if at is not None})
