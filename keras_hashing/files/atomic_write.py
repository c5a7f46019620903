"""Files that are there whole or not at all."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary name in the same folder, and renames it when the block has succeeded.

    The file is on the disk before it gets its name. Each writer has a temporary name of its own;
    it keeps the suffix, by which Keras chooses a file format.

    Args:
        path: The file to write; an existing one stays as it is until the new one is whole.

    Yields:
        The temporary path to write to.

    Raises:
        Whatever the block raises, for example `OSError` on a full disk; the temporary file is
        then removed.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield temporary
        rename_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes an object as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def rename_durably(temporary: Path, path: Path) -> None:
    """Renames a file that is written, so that neither its content nor its name can be lost."""
    sync_file(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Returns once the content of a file would survive a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Returns once the names in a folder would survive a power cut."""
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
