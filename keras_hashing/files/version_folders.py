"""The numbered versions in the folder of a served model."""

from pathlib import Path


def version_folders(parent: Path) -> dict[int, Path]:
    """Returns what in `parent` counts as a version, by its number; {} if there is no such folder.

    TensorFlow Serving reads every name of digits as a version ("007" is 7) and ignores others.
    """
    if not parent.is_dir():
        return {}
    named = [path for path in parent.iterdir() if path.name.isascii() and path.name.isdigit()]
    return {int(path.name): path for path in named}
