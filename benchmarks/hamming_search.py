"""Time and memory of `HammingSearch` as a compiled function against FAISS, in one run.

The peer is `faiss.IndexBinaryFlat`, which scans the same random packed codes, with as many threads.
The two take turns; a ratio is that of the best times. Memory is what a process of its own holds
above its state before the search, as resident memory, sampled each millisecond.
KERAS_BACKEND chooses the backend.

    python benchmarks/hamming_search.py --database 1000000 --bits 64
"""

import argparse
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A thread of FAISS that waits would otherwise hold a core that the other side needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import keras
import numpy as np
import psutil
from keras import ops
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from keras_hashing.layers import HammingSearch

Codes = NDArray[np.uint8]
Answer = tuple[NDArray, NDArray]  # positions, distances
Search = Callable[[Codes], Answer]


def random_codes(rows: int, bits: int, seed: int) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (rows, bits // 8), dtype=np.uint8)


def limit_threads(threads: int) -> None:
    faiss.omp_set_num_threads(threads)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def of_faiss(codes: Codes, k: int) -> Search:
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)

    def search(queries: Codes) -> Answer:
        distances, positions = index.search(queries, k)
        return positions, distances

    return search


def compiled(layer: HammingSearch) -> Search:
    """The layer as one compiled function, without XLA on TensorFlow, as a server runs it."""
    if keras.backend.backend() == "jax":
        import jax

        function: Any = jax.jit(layer.__call__)
    else:
        import tensorflow as tf

        shape = [None, layer.bits // 8]
        function = tf.function(layer.__call__, input_signature=[tf.TensorSpec(shape, tf.uint8)])

    def search(queries: Codes) -> Answer:
        positions, distances = function(ops.convert_to_tensor(queries))
        return ops.convert_to_numpy(positions), ops.convert_to_numpy(distances)

    return search


def seconds(search: Search, queries: Codes) -> float:
    started = time.perf_counter()
    search(queries)
    return time.perf_counter() - started


@contextmanager
def sampled_memory(samples: list[int]) -> Iterator[None]:
    """Adds the resident memory of this process to `samples`, each millisecond."""
    process, done = psutil.Process(), threading.Event()
    samples.append(process.memory_info().rss)

    def sample() -> None:
        while not done.wait(0.001):
            samples.append(process.memory_info().rss)

    sampler = threading.Thread(target=sample)
    sampler.start()
    yield
    done.set()
    sampler.join()


def peak_mebibytes(args: argparse.Namespace, queries: int) -> float:
    """Runs in a process of its own: the most that calls add, MiB, once the codes are loaded.

    The first call is among them, with its tracing or compiling; what the first search of a
    process starts (threads, libraries) is not.
    """
    limit_threads(args.threads)
    search = compiled(HammingSearch(random_codes(args.database, args.bits, args.seed), k=args.k))
    batch = random_codes(queries, args.bits, args.seed + 1)
    tracer = compiled(HammingSearch(batch[:1], k=args.k))
    tracer(batch[:1])
    samples: list[int] = []
    with sampled_memory(samples):
        for _ in range(args.memory_calls):
            search(batch)
    return (max(samples) - samples[0]) / 2**20


def in_its_own_process(args: argparse.Namespace, queries: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_mebibytes, (args, queries))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", type=int, default=1_000_000, help="codes [%(default)s]")
    parser.add_argument("--bits", type=int, default=64, help="a multiple of 8 [%(default)s]")
    parser.add_argument("--k", type=int, default=10, help="items a query [%(default)s]")
    parser.add_argument(
        "--queries", type=int, nargs="+", default=[1, 32, 256], help="queries at once %(default)s"
    )
    parser.add_argument("--threads", type=int, default=2, help="of either side [%(default)s]")
    parser.add_argument("--rounds", type=int, default=15, help="taken in turn [%(default)s]")
    parser.add_argument("--memory-calls", type=int, default=3, help="calls watched [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the codes [%(default)s]")
    args = parser.parse_args()

    limit_threads(args.threads)
    codes = random_codes(args.database, args.bits, args.seed)
    peer, layer = of_faiss(codes, args.k), compiled(HammingSearch(codes, k=args.k))
    table = Table(
        title=f"{keras.backend.backend()}, {args.database:,} × {args.bits} bits, k = {args.k}, "
        f"{args.threads} threads, best (median) of {args.rounds} rounds"
    )
    for column in ("queries", "FAISS, ms", "HammingSearch, ms", "ratio", "peak extra, MiB"):
        table.add_column(column, justify="right")
    for count in args.queries:
        queries = random_codes(count, args.bits, args.seed + 1)
        found, expected = layer(queries)[1], peer(queries)[1]
        if not np.array_equal(found, expected):
            raise SystemExit(f"The distances of {count} queries differ from those of FAISS")
        times: dict[Search, list[float]] = {peer: [], layer: []}
        for _ in range(args.rounds):
            for search, taken in times.items():
                search(queries)  # the caches are as this side leaves them
                taken.append(seconds(search, queries))
        best = {search: min(taken) for search, taken in times.items()}
        table.add_row(
            str(count),
            *(f"{1000 * best[s]:.2f} ({1000 * np.median(times[s]):.2f})" for s in (peer, layer)),
            f"{best[layer] / best[peer]:.2f}",
            f"{in_its_own_process(args, count):.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
