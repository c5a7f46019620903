"""What ranking the nearest items anew by the query's continuous code adds to mAP.

The signatures answer with the first k items by Hamming distance; with `rerank`, the 100 nearest are
ordered by u · b, the query's continuous code against their binary codes. Of a finished run, queries
and database are those of its split. Each list of k answers is judged as it is delivered:

    AP@k         mean of the precision at each relevant answer
    precision    relevant share of the answers

Which of many equal distances come first is the database's order; so all is averaged over several
random orders of it.

For comparison, "all by u · b" orders the whole database by the continuous code, which no cut of
100 candidates can exceed by much; mAP@k (tie-aware) is what a random order of equal distances
gives.

    python -m benchmarks.quality.reranking --run runs/fashion
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_hashing.layers import HammingSearch
from keras_hashing.retrieval import CodeIndex, mean_average_precision, pack_codes, unpack_codes
from training.data.pipeline import evaluation_batches
from training.runs.run_folder import load_run

BATCH = 250
CUTS = (10, 50, 100)


def average_precision(relevant: NDArray[np.bool_]) -> float:
    """Mean over rows of answers, the first answer first; a row without a relevant one counts 0."""
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = np.cumsum(relevant, axis=1) / ranks
    found = relevant.sum(axis=1)
    return float(((precision * relevant).sum(axis=1) / np.maximum(found, 1)).mean())


def by_continuous_code(
    continuous: NDArray[np.float32], database: NDArray[np.uint8], bits: int, k: int
) -> NDArray[np.int64]:
    """The k first positions of the whole database by u · b."""
    signs = unpack_codes(database, bits).astype(np.float32)
    found = []
    for start in range(0, len(continuous), BATCH):
        similarity = continuous[start : start + BATCH] @ signs.T
        first = np.argpartition(-similarity, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similarity, first, axis=1), kind="stable", axis=1)
        found.append(np.take_along_axis(first, order, axis=1))
    return np.concatenate(found)


def searched(
    search: HammingSearch,
    packed: NDArray[np.uint8],
    continuous: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """The positions that the layer answers with, as a compiled function: it maps over rows."""
    compiled = tf.function(lambda *inputs: search(inputs[0], continuous=inputs[1])[0])
    found = []
    for start in range(0, len(packed), BATCH):
        rows = slice(start, start + BATCH)
        codes = None if continuous is None else continuous[rows]
        found.append(np.asarray(compiled(packed[rows], codes)))
    return np.concatenate(found)


def relevance(
    query_labels: NDArray[np.float32],
    database_labels: NDArray[np.float32],
    positions: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether each answer shares a label with its query, shape of `positions`."""
    rows = zip(positions, query_labels, strict=True)
    return np.stack([database_labels[row] @ labels > 0 for row, labels in rows])


def compare(run_folder: Path, data_dir: str | None, shuffles: int) -> None:
    """Prints the figures of a run."""
    run = load_run(run_folder)
    data = run.data(data_dir)
    batches = evaluation_batches(data.dataset, data.split.query, run.preprocessing, 256)
    continuous = run.model.encoder.predict(batches.map(lambda images, _: images), verbose=0)
    packed = pack_codes(continuous)
    database = CodeIndex.load(run.index_path).codes
    query_labels = data.dataset.labels[data.split.query]
    database_labels = data.dataset.labels[data.split.database]
    most = max(CUTS)
    figures: dict[str, list[list[float]]] = {}
    for seed in range(shuffles):
        order = np.random.default_rng(seed).permutation(len(database))
        search = HammingSearch(database[order], k=most, rerank=True)
        found = {
            "Hamming distance": searched(search, packed),
            "reranked": searched(search, packed, continuous),
            "all by u · b": by_continuous_code(continuous, database[order], run.model.bits, most),
        }
        for name, positions in found.items():
            relevant = relevance(query_labels, database_labels[order], positions)
            row = [
                value
                for k in CUTS
                for value in (average_precision(relevant[:, :k]), float(relevant[:, :k].mean()))
            ]
            figures.setdefault(name, []).append(row)
    settings = run.config
    print(
        f"{run_folder}: {settings.dataset}, {settings.method}, {run.model.bits} bits, "
        f"{len(packed)} queries, {len(database):,} items, {shuffles} orders; "
        f"mAP over all {run.metrics['map']:.4f}"
    )
    print(f"{'':20}" + "".join(f"{f'AP@{k}':>10}{f'prec@{k}':>10}" for k in CUTS))
    for name, rows in figures.items():
        print(f"{name:20}" + "".join(f"{value:>10.4f}" for value in np.mean(rows, axis=0)))
    gains = np.array(figures["reranked"]) - np.array(figures["Hamming distance"])
    print(f"{'reranking adds':20}" + "".join(f"{value:>+10.4f}" for value in gains.mean(axis=0)))
    print(f"{'  least':20}" + "".join(f"{value:>+10.4f}" for value in gains.min(axis=0)))
    print(f"{'  most':20}" + "".join(f"{value:>+10.4f}" for value in gains.max(axis=0)))
    tie_aware = [
        mean_average_precision(packed, query_labels, database, database_labels, k=k) for k in CUTS
    ]
    print(f"{'tie-aware mAP@k':20}" + "".join(f"{value:>10.4f}{'':10}" for value in tie_aware))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, action="append", required=True, help="a finished run")
    parser.add_argument("--data-dir", help="where the data is now (default: as in the run)")
    parser.add_argument("--shuffles", type=int, default=5, help="orders of the database")
    options = parser.parse_args()
    for run in options.run:
        compare(run, options.data_dir, options.shuffles)


if __name__ == "__main__":
    main()
