"""The progress bar of a long load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def loading_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while something loads; nothing when that is not a terminal.

    Args:
        description: What is loading.
        total: How many items there are.

    Yields:
        A function to call with the number of items that were just finished.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(description, total=total)
        yield lambda finished: progress.advance(task, finished)
