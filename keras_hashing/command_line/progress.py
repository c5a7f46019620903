"""How far a long load is."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def loading_progress(
    description: str, total: int, done: int = 0
) -> Iterator[Callable[[int], None]]:
    """Shows how far something is on standard error: a bar on a terminal, else a line at times.

    Yields:
        A function to call with the number of items that were just finished.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(description, total, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, completed=done)
        yield lambda finished: progress.advance(task, finished)


def _lines(description: str, total: int, done: int) -> Callable[[int], None]:
    started = printed = time.perf_counter()
    first = done

    def advance(finished: int) -> None:
        nonlocal done, printed
        done += finished
        now = time.perf_counter()
        if now - printed >= _SECONDS_BETWEEN_LINES and done < total:
            printed = now
            left = duration((now - started) / (done - first) * (total - done))
            print(f"{description}: {done:,} of {total:,}, {left} left", file=sys.stderr, flush=True)

    return advance


def duration(seconds: float) -> str:
    """A time to wait, as in "50 s", "12 min" or "3 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
