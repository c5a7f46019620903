"""What the benchmarks on the frozen features of a comparison share.

Imported first, it sets what the comparison trains with: JAX on the CPU, one thread a process.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from rich.progress import track

from training.compare.recipe import digest_of
from training.compare.workers.frozen_data import FrozenData

BITS = 32

Line = dict[str, Any]


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--comparison`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--comparison", type=Path, required=True, help="folder of `compare` on frozen features"
    )
    return parser


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds what `train_missing` needs."""
    parser.add_argument("--output", type=Path, required=True, help="JSON lines, one a run")
    parser.add_argument("--workers", type=_positive, default=os.cpu_count(), help="processes")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def data_folder(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Path:
    """The folder that `FrozenData.read` takes; ends the program where there is none."""
    path: Path = arguments.comparison / "work" / "data.json"
    if not path.exists():
        parser.error(f"--comparison must hold data of frozen features. Not found: {path}")
    return path.parent


def seeds_of(parser: argparse.ArgumentParser, data: FrozenData) -> list[int]:
    """The seeds of the comparison; ends the program where there is but one."""
    seeds = sorted(data.splits)
    if len(seeds) < 2:
        parser.error(f"--comparison must have two seeds or more. Received: {seeds}")
    return seeds


def digest_of_data(folder: Path) -> str:
    """Names features and recipe, for the lines of an output file."""
    about = json.loads((folder / "data.json").read_text())
    return digest_of({**about, "features": Path(about["features"]).name})


def read_lines(path: Path, folder: Path) -> list[Line]:
    """The finished runs of an output file, which may not be there yet.

    What follows the last line break was cut off by an interruption, and is not read.

    Raises:
        ValueError: when a line is of other features or another recipe.
    """
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    expected = digest_of_data(folder)
    if any(line.get("data") != expected for line in lines):
        raise ValueError(f"{path} has runs of another comparison: choose another --output")
    return lines


def train_missing(
    train: Callable[..., list[Line]],
    cells: Iterable[tuple[Any, ...]],
    seeds: Sequence[int],
    done: Set[tuple[Any, ...]],
    folder: Path,
    output: Path,
    workers: int,
) -> None:
    """Calls `train(folder, *cell, seeds)` in processes, and appends its lines as each cell ends.

    When one fails, those that run already are waited for and kept, and the others are not begun.

    Args:
        train: Trains a cell with the seeds that are left; returns a line each.
        cells: What is to be trained.
        seeds: With which seeds.
        done: The `(*cell, seed)` of finished runs.
        folder: Where the features are told of.
        output: The file.
        workers: The number of processes.
    """
    left = {cell: [seed for seed in seeds if (*cell, seed) not in done] for cell in cells}
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():  # drop a line that was cut off
        os.truncate(output, output.read_bytes().rfind(b"\n") + 1)
    digest = digest_of_data(folder)

    def keep(future: Future[list[Line]]) -> None:
        if not future.cancelled() and future.exception() is None:
            for line in future.result():
                print(json.dumps({"data": digest, **line}), file=file, flush=True)

    spawn = multiprocessing.get_context("spawn")
    with open(output, "a") as file, ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        futures = [pool.submit(train, folder, *cell, some) for cell, some in left.items() if some]
        for future in futures:
            future.add_done_callback(keep)
        try:
            for future in track(as_completed(futures), "Training", total=len(futures)):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
