"""One publisher at a time in the folder of a model."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from export.versions.version_folders import check_no_version
from keras_hashing.files.file_lock import file_lock

LOCK = ".publisher.lock"  # TensorFlow Serving ignores the name
WAIT = 600.0  # seconds


@contextmanager
def publisher_lock(models: Path, wait: float = WAIT) -> Iterator[None]:
    """Holds the lock of a folder of versions; a second publisher waits for the first to finish.

    What is left of a killed one locks nothing: see `file_lock`.

    Args:
        models: the folder of the versions; it must exist.

    Raises:
        TimeoutError: if another publisher has not finished by then; it is named.
        OSError: if the folder cannot be written to.
    """

    def refused(holder: str) -> TimeoutError:
        problem = f"Another publisher is at work ({holder}) and has not finished in time"
        return TimeoutError(errno.ETIMEDOUT, problem, str(models))

    with file_lock(models / LOCK, wait, refused):
        yield


@contextmanager
def publishing(models: str | os.PathLike[str], wait: float = WAIT) -> Iterator[Path]:
    """Makes the folder of a model's versions if need be, and holds its `publisher_lock`.

    A folder that was made here goes again if the block fails.

    Yields:
        The folder's path.

    Raises:
        NotADirectoryError: if `models` is a file.
        ValueError: if `models` is itself a version.
        TimeoutError: if another publisher has not finished in time.
        OSError: if the folder cannot be made or written to.
    """
    folder = Path(models)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"The output must be a folder. Received a file: {folder}")
    check_no_version(folder)
    made_here = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with publisher_lock(folder, wait):
            yield folder
    except BaseException:
        if made_here:
            with suppress(OSError):  # another may have used it
                folder.rmdir()
        raise
