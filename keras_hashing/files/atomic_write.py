"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary name in the same folder, and renames it when the block has succeeded.

    The temporary name keeps the suffix, by which Keras chooses a file format.

    Args:
        path: The file to write; an existing one stays as it is until the new one is whole.

    Yields:
        The temporary path to write to.

    Raises:
        Whatever the block raises, for example `OSError` on a full disk; the temporary file is
        then removed.
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
