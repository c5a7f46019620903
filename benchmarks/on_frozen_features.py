"""What the benchmarks on the frozen features of a comparison share.

Imported first, it sets what the comparison trains with: JAX on the CPU, one thread a process.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from rich.progress import track

from training.compare.frozen_data import FrozenData

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
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")


def data_folder(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Path:
    """The folder that `FrozenData.read` takes; ends the program where there is none."""
    path: Path = arguments.comparison / "work" / "data.json"
    if not path.exists():
        parser.error(f"--comparison must hold data of frozen features. Not found: {path}")
    return path.parent


def seeds_of(parser: argparse.ArgumentParser, folder: Path) -> list[int]:
    """The seeds of the comparison; ends the program where there is but one."""
    seeds = sorted(FrozenData.read(folder).splits)
    if len(seeds) < 2:
        parser.error(f"--comparison must have two seeds or more. Received: {seeds}")
    return seeds


def read_lines(path: Path) -> list[Line]:
    """The finished runs of an output file, which may not be there yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def train_missing(
    train: Callable[..., list[Line]], tasks: Sequence[tuple[Any, ...]], output: Path, workers: int
) -> None:
    """Calls `train(*task)` in processes, and appends its lines as each task ends."""
    output.parent.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool, open(output, "a") as file:
        futures = [pool.submit(train, *task) for task in tasks]
        for future in track(as_completed(futures), "Training", total=len(futures)):
            for line in future.result():
                print(json.dumps(line), file=file, flush=True)
