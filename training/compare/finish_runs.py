"""Training the runs that have no result yet."""

from typing import Any

from training.compare.comparison_folder import ComparisonFolder
from training.compare.grid import by_cell
from training.compare.grid_run import GridRun
from training.compare.progress import run_progress
from training.compare.recipe import Mode
from training.compare.results_file import ResultsFile
from training.compare.workers.pool import run_all


def finish_runs(
    runs: list[GridRun],
    folder: ComparisonFolder,
    results: ResultsFile,
    workers: int,
    mode: Mode = "frozen",
    title: str = "Runs",
    verbose: int = 1,
) -> dict[GridRun, dict[str, Any]]:
    """Trains the runs that have no result yet, in worker processes.

    Each result is on the disk before the next one is waited for; runs that failed are tried again.

    Args:
        runs: The runs, those of a cell one after another.
        folder: Its `work` holds what workers read: `FrozenData.write`, `ImageData.write`.
    """
    with folder.opened():
        found = results.read()
        left = [run for run in runs if found.get(run, {}).get("status") != "done"]
        for run in set(runs) - set(left):  # one may have ended just before it was cleared away
            folder.drop_checkpoints(run)
        with run_progress(title, runs, left, workers, verbose) as advance:

            def finished(run: GridRun, result: dict[str, Any]) -> None:
                results.append(run, result)
                folder.drop_checkpoints(run)
                advance(run, result)

            if left:
                run_all(by_cell(left), folder.work, folder.arrays, workers, finished, mode)
        found = results.read()
    return {run: found[run] for run in runs}
