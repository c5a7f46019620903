"""The image files of a folder, found by one rule."""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_hashing.files.image_verdict import NO_IMAGE, verdict

RULE = (
    "Subfolders are walked, and linked folders once; hidden files, Thumbs.db and the like are "
    "passed over, and other files that are no images are counted."
)
_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".psd", ".jxl", ".jp2", ".ico"),
)
_NEVER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})


class FoundFiles(NamedTuple):
    """The files of a folder.

    Attributes:
        images: Those that are images, or are named as such.
        others: Those that are not, such as `notes.txt`.
    """

    images: list[Path]
    others: list[Path]


def find_files(folder: Path) -> FoundFiles:
    """The files of a folder and its subfolders; those of a folder come before its subfolders.

    Links to folders are followed, each folder once. Hidden files and folders, `Thumbs.db`,
    `desktop.ini` and the like are passed over.

    Returns:
        Paths that begin with `folder`.
    """
    found = FoundFiles([], [])
    for path in _files(folder, {_identity(folder)}):
        (found.images if _may_be_image(path) else found.others).append(path)
    return found


def existing_folder(path: str | os.PathLike[str], what: str) -> Path:
    """A path that is a folder; of another, a `FileNotFoundError` or `NotADirectoryError`."""
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"The {what} {str(folder)!r} does not exist")
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is a file; a {what} was expected")
    return folder


def class_folders(folder: Path) -> list[str]:
    """The names of the subfolders that are not hidden, sorted: the classes of labelled images."""
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name)
    )


def image_files(folder: Path) -> list[Path]:
    """The images that `find_files` finds, sorted by their paths; a warning counts the others.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it holds no image.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}")
    images, others = find_files(folder)
    warn_of_others(others, folder)
    if not images:
        raise ValueError(f"The folder {str(folder)!r} holds no image file")
    return sorted(images)


def warn_of_others(others: Sequence[Path], folder: Path) -> None:
    """Warns of files that are no images, by their number and some of their names."""
    if others:
        names = ", ".join(repr(path.relative_to(folder).as_posix()) for path in others[:3])
        warnings.warn(
            f"Passed over {len(others):,} file{'s' * (len(others) > 1)} of {str(folder)!r} that "
            f"{'are no images, such as' if len(others) > 3 else 'cannot be images:'} {names}",
            stacklevel=3,
        )


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over in silence."""
    return name.startswith(".") or name.lower() in _NEVER


def _files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    shown = sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    folders = [path for path in shown if path.is_dir()]
    of_folders = set(folders)
    yield from (path for path in shown if path not in of_folders)
    # The folders themselves come before links to them, which would take their place.
    for path in sorted(folders, key=Path.is_symlink):
        if (identity := _identity(path)) not in seen:
            seen.add(identity)
            yield from _files(path, seen)


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _may_be_image(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return True  # the verdict tells why
    return bool(start) and verdict(start) != NO_IMAGE
