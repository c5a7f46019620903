"""TFDS' own object for a data set, or why there is none. Loads no TensorFlow."""

import difflib
import os
from typing import Any

import tensorflow_datasets as tfds


def prepared_builder(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, download: bool = False
) -> Any:
    """The builder of a data set that is prepared, or that TFDS may download.

    Raises:
        ValueError: when there is no such data set; close names are listed.
        FileNotFoundError: when it is not prepared and `download` is False.
    """
    builder = _builder(name, data_dir)
    if not builder.is_prepared() and not download:
        raise FileNotFoundError(
            f"Data set {name!r} is not prepared in {str(builder.data_path)!r}. Point `data_dir` "
            "(--data-dir) to where it is, or ask for it with download=True (--download; needs a "
            "connection), or prepare it "
            f"once with `tfds build {name} --data_dir DIR`."
        )
    return builder


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError) as error:  # TFDS raises either for a name it cannot use.
        known = [*tfds.list_builders(with_community_datasets=False), "digits", "folder", "lists"]
        if name.split("/")[0].split(":")[0] in known:
            reason = str(error).splitlines()[0]
            raise ValueError(f"Data set {name!r} cannot be loaded: {reason}") from error
        close = difflib.get_close_matches(name, known, n=5)
        meant = f" Did you mean one of {close}?" if close else ""
        raise ValueError(
            f"Unknown data set {name!r}.{meant} Possible are 'digits', 'folder' (with `data_dir`, "
            "a folder that holds a subfolder of images for each class), 'lists' (with `data_dir`, "
            f"a folder that holds HashNet's list files) and the {len(known) - 3} image and other "
            "data sets of TFDS (tfds.list_builders())."
        ) from error
