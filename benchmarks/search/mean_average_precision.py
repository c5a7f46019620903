"""Tie-aware mAP against the argsort protocol of published code, in one run.

The peer is `CalcTopMap` of DeepHash-PyTorch (and HashNet before it): per query, float distances
`0.5 * (K - q·Bᵀ)` of ±1 float32 codes, `numpy.argsort`, then precision at each relevant item.
Codes are random, with the class in some of the bits. The ways take turns, `--repeats` times, and
each keeps its best time; memory is the peak that `tracemalloc` sees beyond the inputs, in a run of
its own:

    python benchmarks/search/mean_average_precision.py --queries 1000 --database 54000 --bits 64
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from keras_hashing.retrieval import (
    evaluate_retrieval,
    mean_average_precision,
    pack_codes,
    unpack_codes,
)


def argsort_map(
    query_codes: NDArray[np.float32],
    query_labels: NDArray[np.float32],
    database_codes: NDArray[np.float32],
    database_labels: NDArray[np.float32],
    k: int,
) -> float:
    """The published protocol, of ±1 float32 codes."""
    total = 0.0
    for code, label in zip(query_codes, query_labels, strict=True):
        relevant = (label @ database_labels.T > 0).astype(np.float32)
        distance = 0.5 * (database_codes.shape[1] - code @ database_codes.T)
        top = relevant[np.argsort(distance)][:k]
        found = int(top.sum())
        if found:
            rank = np.flatnonzero(top == 1) + 1.0
            total += np.mean(np.linspace(1, found, found) / rank)
    return total / len(query_codes)


def made_up_data(
    rows: int, bits: int, centres: NDArray[np.float32], labels_each: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Noisy packed codes around the centres of their labels, and the labels."""
    classes = len(centres)
    labels = np.zeros((rows, classes), dtype=np.float32)
    for _ in range(labels_each):
        labels[np.arange(rows), rng.integers(classes, size=rows)] = 1
    noise = 2.0 * rng.standard_normal((rows, bits), dtype=np.float32)
    return pack_codes(labels @ centres + noise), labels


def seconds(work: Callable[[], object]) -> float:
    """The time of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mebibytes(work: Callable[[], object]) -> float:
    """The most memory `work` holds at once, in MiB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--database", type=int, default=54_000)
    parser.add_argument("--bits", type=int, default=64, help="a multiple of 8")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--labels-each", type=int, default=1, help="labels drawn for each image")
    parser.add_argument("--k", type=int, default=1000, help="the cut of mAP@k")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    centres = np.sign(rng.standard_normal((args.classes, args.bits))).astype(np.float32)
    queries = made_up_data(args.queries, args.bits, centres, args.labels_each, rng)
    database = made_up_data(args.database, args.bits, centres, args.labels_each, rng)
    packed = (*queries, *database)
    signs = tuple(
        unpack_codes(array, args.bits).astype(np.float32) if array.dtype == np.uint8 else array
        for array in packed
    )
    everything, cut = args.database, min(args.k, args.database)
    ways: list[tuple[str, Callable[[], float | None]]] = [
        ("argsort protocol (peer), mAP", lambda: argsort_map(*signs, k=everything)),
        ("ties='expected', mAP", lambda: mean_average_precision(*packed)),
        (f"ties='expected', mAP@{cut}", lambda: mean_average_precision(*packed, k=cut)),
        ("ties='stable', mAP", lambda: mean_average_precision(*packed, ties="stable")),
        (f"evaluate_retrieval, k={cut}", lambda: evaluate_retrieval(*packed, k=cut).map),
    ]
    print(
        f"{args.queries} queries x {args.database} items x {args.bits} bits, {args.classes} "
        f"classes, {args.labels_each} label(s) each, seed {args.seed}, NumPy {np.__version__}"
    )
    print(f"{'':32}{'value':>9}{'seconds':>10}{'ratio':>8}{'peak MiB':>10}")
    values = [work() for _, work in ways]  # warms up as well
    rounds = [[seconds(work) for _, work in ways] for _ in range(args.repeats)]
    best = np.min(rounds, axis=0)
    for (name, work), value, time_taken in zip(ways, values, best, strict=True):
        print(
            f"{name:32}{value:9.5f}{time_taken:10.3f}{time_taken / best[0]:8.3f}"
            f"{peak_mebibytes(work):10.1f}"
        )


if __name__ == "__main__":
    main()
