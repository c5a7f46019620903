"""What an export to a device refuses before TensorFlow is loaded."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_hashing.retrieval import CodeIndex

SEARCH_FILE = "search.tflite"
MOST_ITEMS = 100_000


def check_new_files(
    output: str | os.PathLike[str], names: Iterable[str], replace: bool
) -> list[Path]:
    """The paths of files in a folder that are about to be written.

    Raises:
        FileExistsError: if one exists and `replace` is false.
        NotADirectoryError: if `output` is a file.
    """
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"`output` must be a folder. Received: the file {folder}")
    paths = [folder / name for name in names]
    existing = [str(path) for path in paths if path.exists()]
    if existing and not replace:
        raise FileExistsError(
            f"Files exist already: {', '.join(existing)}. Replace them by --replace, or choose "
            "another folder"
        )
    return paths


def check_searchable(index: "CodeIndex", k: int) -> None:
    """Raises `ValueError` unless an index fits a device, and has `k` items."""
    if not 1 <= len(index) <= MOST_ITEMS:
        raise ValueError(
            f"An index on a device must have 1 to {MOST_ITEMS:,} items. Received: {len(index):,}"
        )
    if not 1 <= k <= len(index):
        raise ValueError(f"`k` must be 1 to the index's {len(index):,} items. Received: {k}")
