"""The numbered version folders of a model, as TensorFlow Serving reads them."""

import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from keras_hashing.files.atomic_write import sync_file, sync_folder
from keras_hashing.files.version_folders import version_folders

LARGEST = 2**63 - 1  # TensorFlow Serving keeps a version in an int64

# Names that TensorFlow Serving ignores: it reads names of digits only.
_PARTIAL = ".partial"  # being written
_REMOVED = ".removed"  # being deleted
_ROLLED_BACK = re.compile(r"([0-9]+)\.rolled-back")


def version_folder(folder: Path) -> Path:
    """Returns `folder` if it is a SavedModel, else the highest version in it."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = version_folders(folder)
    if not versions:
        raise FileNotFoundError(
            f"There is neither a SavedModel nor a numbered version of one in {str(folder)!r}"
        )
    return versions[max(versions)]


def check_no_version(parent: Path) -> None:
    """Raises `ValueError` if a folder that is to hold versions is itself one."""
    if (parent / "saved_model.pb").is_file():
        raise ValueError(
            f"The folder of a model holds its versions. Received: {str(parent)!r}, which is itself "
            f"a version; name its parent {str(parent.absolute().parent)!r}"
        )


def rolled_back_folders(parent: Path) -> dict[int, Path]:
    """Returns the versions in `parent` that were rolled back, by their number."""
    if not parent.is_dir():
        return {}
    named = [(_ROLLED_BACK.fullmatch(path.name), path) for path in parent.iterdir()]
    return {int(match[1]): path for match, path in named if match}


def new_version(parent: Path, version: int | None) -> int:
    """Returns the number of a version that is about to be written.

    The number of a version that was rolled back is not used again: a server that has it in memory
    would take the new one for the old.

    Args:
        parent: the folder of the versions; it need not exist.
        version: the number wanted, or `None` for the one after the highest (1 if there is none).

    Raises:
        FileExistsError: if there is such a version already.
        ValueError: if `version` is not a positive int that fits 64 bits.
    """
    existing = version_folders(parent) | rolled_back_folders(parent)
    if version is None:
        return max(existing, default=0) + 1
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= LARGEST:
        raise ValueError(
            f"`version` must be a positive int of 64 bits. Received: version={version!r}"
        )
    if version in existing:
        raise FileExistsError(
            f"Version {version} exists already: {existing[version]}. "
            "Versions are never overwritten; take a higher one"
        )
    return version


def write_version(parent: Path, number: int, write: Callable[[Path], None]) -> Path:
    """Adds a version that appears whole or not at all, even if the machine stops.

    It is written under a name that TensorFlow Serving ignores, forced to the disk, and renamed.
    What a publisher that was killed has left is deleted first. Whoever calls holds the
    `publisher_lock` of `parent`.

    Args:
        number: of the new one; there is none of that number.
        write: makes the folder it is given and fills it.

    Returns:
        The version's folder.

    Raises:
        OSError: if it cannot be written; nothing is left of it then.
    """
    remove_leftovers(parent)
    temporary = parent / f".{number}.{secrets.token_hex(4)}{_PARTIAL}"
    final = parent / str(number)
    try:
        write(temporary)
        _force_to_disk(temporary)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(parent)
    return final


def remove_version(folder: Path) -> None:
    """Deletes a version: renamed first, so that no server sees a part of it.

    Raises:
        OSError: if it cannot be renamed. What cannot be deleted is left under a name that
            `remove_leftovers` knows.
    """
    name = f".{folder.name}.{secrets.token_hex(4)}{_REMOVED}"
    shutil.rmtree(folder.rename(folder.with_name(name)), ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Deletes what was left half written or half deleted; nobody else may be writing there."""
    for path in parent.glob(".*"):
        if path.name.endswith((_PARTIAL, _REMOVED)) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def roll_back(folder: Path) -> Path:
    """Renames a version so that no server serves it; returns its new path."""
    kept = folder.rename(folder.with_name(f"{int(folder.name)}.rolled-back"))
    sync_folder(folder.parent)
    return kept


def _force_to_disk(folder: Path) -> None:
    """Returns once all files and folders in `folder` would survive a power cut."""
    for parent, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(parent, name))
        sync_folder(Path(parent))
