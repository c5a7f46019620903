"""Resident memory that the memory of recent codes costs in training, method by method.

Each method of pairs trains in a process of its own: first without a memory, which is the peer and
warms up the backend, then with one. The peak is the kernel's (`ru_maxrss`, so not on Windows).
KERAS_BACKEND chooses the backend.
"""

import argparse
import multiprocessing
import os
import resource
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

BAR = 2048  # MiB
FEATURES = 32
MIB = 2**20


def peak() -> float:
    """The largest resident size of this process so far, MiB."""
    kibibyte = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kibibyte / MIB


def train(method: str, memory_size: int, arguments: argparse.Namespace) -> None:
    """Some train steps of a model that is all head, so that the memory is what weighs."""
    import keras
    import numpy as np

    from keras_hashing import methods
    from keras_hashing.models import HashingModel

    rng = np.random.default_rng(arguments.seed)
    samples = arguments.batch * arguments.steps
    features = rng.normal(size=(samples, FEATURES)).astype("float32")
    labels = np.eye(arguments.classes, dtype="float32")[
        rng.integers(arguments.classes, size=samples)
    ]
    backbone = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(FEATURES, "relu")])
    model = HashingModel(
        backbone,
        bits=arguments.bits,
        method=methods.get(
            method,
            bits=arguments.bits,
            num_classes=arguments.classes,
            memory_size=memory_size,
        ),
        quantization="native",
    )
    model.compile("adam")
    model.fit(features, labels, batch_size=arguments.batch, epochs=2, verbose=0)


def measure(method: str, arguments: argparse.Namespace, results: Any) -> None:
    """Puts the two peaks of a method into `results`."""
    train(method, 0, arguments)
    without = peak()
    train(method, arguments.memory_size, arguments)
    results.put((without, peak()))


def pairwise_methods() -> list[str]:
    from keras_hashing import methods

    return [
        name
        for name in methods.available()
        if issubclass(methods.METHODS[name], methods.PairwiseMethod)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--memory-size", type=int, default=50_000, help="codes in the memory [%(default)s]"
    )
    parser.add_argument("--bits", type=int, default=64, help="bits [%(default)s]")
    parser.add_argument("--batch", type=int, default=128, help="samples in a batch [%(default)s]")
    parser.add_argument("--classes", type=int, default=10, help="label columns [%(default)s]")
    parser.add_argument("--steps", type=int, default=5, help="steps of an epoch [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data [%(default)s]")
    parser.add_argument(
        "--methods", nargs="+", default=pairwise_methods(), help="methods [all of pairs]"
    )
    arguments = parser.parse_args()

    table = Table(
        title=f"{os.environ.get('KERAS_BACKEND', 'tensorflow')}, memory of "
        f"{arguments.memory_size:,}×{arguments.bits}, batch {arguments.batch}, peak resident MiB"
    )
    for column in ("method", "without", "with", "increase", f"ratio to {BAR:,} MiB"):
        table.add_column(column, justify="left" if column == "method" else "right")
    processes = multiprocessing.get_context("spawn")
    for method in arguments.methods:
        results = processes.Queue()
        child = processes.Process(target=measure, args=(method, arguments, results))
        child.start()
        without, with_memory = results.get()
        child.join()
        increase = with_memory - without
        table.add_row(
            method,
            f"{without:.0f}",
            f"{with_memory:.0f}",
            f"{increase:.0f}",
            f"{increase / BAR:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
