"""The checksums of a version's files: what a disk, a copy or a hand has changed is named."""

import hashlib
import os
from pathlib import Path

from keras_hashing.files.atomic_write import write_text

CHECKSUMS = Path("assets.extra", "SHA256SUMS")  # in a version folder


def write_checksums(folder: str | os.PathLike[str]) -> None:
    """Writes the SHA-256 of every file of a version into its `assets.extra/SHA256SUMS`.

    It is a file of `sha256sum`: `cd VERSION && sha256sum --check assets.extra/SHA256SUMS`.

    Args:
        folder: the version's folder, with everything else in place.

    Raises:
        OSError: if a file cannot be read, or the checksums cannot be written.
    """
    folder = Path(folder)
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    lines = [
        f"{_sha256(folder / name)}  {name}\n" for name in names if name != CHECKSUMS.as_posix()
    ]
    path = folder / CHECKSUMS
    path.parent.mkdir(exist_ok=True)
    write_text(path, "".join(lines))


def verify_files(folder: str | os.PathLike[str]) -> None:
    """Checks the files of a version against its checksums.

    Raises:
        ValueError: if the checksums are missing or unreadable, or a file that they name is missing
            or has changed; it is named.
        OSError: if a file cannot be read.
    """
    folder = Path(folder)
    for name, expected in _checksums(folder).items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"The SavedModel {str(folder)!r} is damaged: {name} is missing")
        if _sha256(path) != expected:
            raise ValueError(
                f"The SavedModel {str(folder)!r} is damaged: {name} is not as it was written "
                "(its SHA-256 differs)"
            )


def _checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file, by its name."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ValueError(
            f"The SavedModel {str(folder)!r} is damaged: {CHECKSUMS} is missing"
        ) from None
    except UnicodeDecodeError:
        lines = [""]
    pairs = [line.split("  ", maxsplit=1) for line in lines]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"The SavedModel {str(folder)!r} is damaged: {CHECKSUMS} is unreadable")
    return {name: checksum for checksum, name in pairs}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
