"""One process at a time."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock


class HeldByAnotherError(TimeoutError):
    """Another process or thread holds a lock and has not let go in time.

    Attributes:
        holder: who, such as "process 17 on a-machine".
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"The lock is held by {holder}")
        self.holder = holder


@contextmanager
def file_lock(
    path: Path,
    wait: float | None = None,
    refused: Callable[[str], Exception] = HeldByAnotherError,
) -> Iterator[None]:
    """Holds a lock of the operating system on a file, which is made and removed here.

    It ends with the process, however that dies, so a lock file that was left behind locks nothing.
    It holds between machines wherever the file system's `flock` does (NFS since Linux 2.6.12).

    Args:
        path: The lock file; its folder must exist.
        wait: Seconds to wait for another holder; as long as it takes when None.
        refused: Makes the error of the holder's name.

    Raises:
        HeldByAnotherError: when another has not let go by then; or what `refused` makes.
        OSError: when the folder cannot be written to.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for a lock")
    lock = filelock.FileLock(path, timeout=-1 if wait is None else wait, mode=0o666)
    try:
        lock.acquire(poll_interval=0.1)
    except filelock.Timeout:
        raise refused(_holder(path)) from None
    try:
        with suppress(OSError):  # Windows lets nobody write to a locked file
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held, so it is no other's
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")[:200] or "another process"
    return "another process"
