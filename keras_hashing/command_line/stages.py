"""What a command is doing, and how long it took, on a terminal and in a log alike."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger("keras_hashing.stages")
_SILENT_FOR = 3.0


class _ToStandardError(logging.Handler):
    """Looks `sys.stderr` up for each line, so that a progress bar can print above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr, flush=True)


def show_stages() -> None:
    """Prints the stages of this process on the standard error stream."""
    if not _LOG.handlers:
        _LOG.addHandler(_ToStandardError())
        _LOG.setLevel(logging.INFO)
        _LOG.propagate = False


@contextmanager
def stage(name: str, silent_for: float = _SILENT_FOR) -> Iterator[None]:
    """Tells that a stage has ended and how long it took; before that, that it runs, if it is long.

    Silent unless `show_stages` was called.

    Args:
        name: What is being done, such as "Reading images".
        silent_for: Seconds after which the stage is announced; 0 for at once.
    """
    if not _LOG.isEnabledFor(logging.INFO):
        yield
        return
    started = time.perf_counter()
    announce = threading.Timer(silent_for, _LOG.info, ("%s …", name))
    announce.daemon = True
    if silent_for:
        announce.start()
    else:
        announce.function(*announce.args)
    try:
        yield
    finally:
        announce.cancel()
    _LOG.info("%s: %.1f s", name, time.perf_counter() - started)
