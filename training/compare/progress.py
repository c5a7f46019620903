"""How far a grid is, and how long it will take."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from keras_hashing.command_line.progress import duration
from training.compare.grid_run import GridRun


@contextmanager
def run_progress(
    title: str, runs: list[GridRun], left: list[GridRun], workers: int, verbose: int
) -> Iterator[Callable[[GridRun, dict[str, Any]], None]]:
    """A bar with the time left on a terminal, a line per run elsewhere; nothing if not verbose.

    The estimate is by quantization, since those take different times: runs left × mean seconds of
    the finished ones of the same quantization (of all, where there is none yet) / workers.

    Yields:
        A function to call with each finished run and its result.
    """
    if not verbose:
        yield lambda run, result: None
        return
    estimate = _Estimate(left, workers)
    done = len(runs) - len(left)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    if done or not left:
        print(f"{title}: {done} of {len(runs)} runs are finished already", file=sys.stderr)
    if left and not console.is_terminal:
        print(f"{title}: {len(left)} runs, {workers} at a time", file=sys.stderr, flush=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=len(runs), completed=done, left="")

        def advance(run: GridRun, result: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            time_left = f"{duration(estimate.seconds_left(run, result))} left"
            if result["status"] == "done":
                told = f"mAP {result['map']:.4f}"
            else:
                told = f"FAILED: {result['error']}"
            progress.update(task, completed=done, left=f"{time_left}; {run}: {told}")
            if not console.is_terminal or result["status"] != "done":
                print(
                    f"{title} {done}/{len(runs)}: {run}: {told}; {time_left}",
                    file=sys.stderr,
                    flush=True,
                )

        yield advance


class _Estimate:
    def __init__(self, left: list[GridRun], workers: int) -> None:
        self.left, self.workers = list(left), workers
        self.finished: dict[str, list[float]] = {}

    def seconds_left(self, run: GridRun, result: dict[str, Any]) -> float:
        """Notes that a run has just finished."""
        self.left.remove(run)
        parts = result.get("seconds", {})
        seconds = sum(parts.get(part, 0.0) for part in ("prepare", "train", "evaluate"))
        self.finished.setdefault(run.quantization, []).append(seconds)
        everything = [seconds for kind in self.finished.values() for seconds in kind]
        waiting = (self.finished.get(one.quantization, everything) for one in self.left)
        return sum(sum(known) / len(known) for known in waiting) / self.workers
