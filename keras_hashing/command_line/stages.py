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
    if not any(isinstance(handler, _ToStandardError) for handler in _LOG.handlers):
        _LOG.addHandler(_ToStandardError())
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False


@contextmanager
def stage(name: str, at_once: bool = False) -> Iterator[None]:
    """Tells that a stage has ended and how long it took; before that, that it is still running.

    Silent unless `show_stages` was called.

    Args:
        name: What is being done, such as "Reading images".
        at_once: Whether to announce the stage, rather than to tell after 3, 6, 12, … seconds that
            it is running.
    """
    if not _LOG.isEnabledFor(logging.INFO):
        yield
        return
    started, ended = time.perf_counter(), threading.Event()
    if at_once:
        _LOG.info("%s …", name)
    else:
        threading.Thread(target=_tell_while_running, args=(name, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
    _LOG.info("%s: %.1f s", name, time.perf_counter() - started)


def _tell_while_running(name: str, ended: threading.Event) -> None:
    seconds = wait = _SILENT_FOR
    while not ended.wait(wait):
        _LOG.info("%s … %.0f s", name, seconds)
        seconds, wait = 2 * seconds, seconds
