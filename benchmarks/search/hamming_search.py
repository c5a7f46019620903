"""Time and memory of `HammingSearch` as a compiled function against FAISS, in one run.

The peer is `faiss.IndexBinaryFlat`, which scans the same random packed codes, with as many threads.
The two take turns; a ratio is that of the best times. Memory is what a process of its own holds
above its state before the search, as resident memory, sampled each millisecond.
KERAS_BACKEND chooses the backend.

    python -m benchmarks.search.hamming_search --database 1000000 --bits 64

With --radius, all within a Hamming radius of clustered codes: `CodeIndex` with the kind `MultiHash`
against the same peer's `range_search`, by turns, the same answers; and what HNSW and IVF find, with
--approximate. Memory is the growth of resident memory as the tables are made.

    python -m benchmarks.search.hamming_search --database 10000000 --radius 2
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

from benchmarks.search.near_duplicates import clustered_codes
from keras_hashing.layers import HammingSearch
from keras_hashing.retrieval import HNSW, IVF, CodeIndex, MultiHash

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


def compare_radius(args: argparse.Namespace) -> None:
    """Prints the time of all within a radius, beside that of FAISS's flat index."""
    codes = clustered_codes(args.database, args.bits, args.noise, args.seed)
    random = np.random.default_rng(args.seed + 1)
    count = max(args.queries)
    flips = np.packbits(random.random((count, args.bits)) < args.noise, axis=1)
    queries = codes[random.choice(len(codes), count, replace=False)] ^ flips
    flat = faiss.IndexBinaryFlat(args.bits)
    flat.add(codes)
    index = CodeIndex(codes, range(len(codes)), "benchmark")
    del codes
    table = Table(
        title=f"{args.database:,} × {args.bits} bits, clustered, {args.threads} threads, {count} "
        f"queries, best (median) of {args.rounds} rounds"
    )
    for column in ("", "ms a query", "times as fast", "recall", "made in, s", "MiB"):
        table.add_column(column, justify="right")
    before, started = psutil.Process().memory_info().rss, time.perf_counter()
    tables = index.as_kind(MultiHash.of(index.codes, args.radius))
    tables.search_radius(queries[:1], args.radius)  # makes them
    made = time.perf_counter() - started
    memory = (psutil.Process().memory_info().rss - before) / 2**20
    times: dict[str, list[float]] = {"flat": [], "tables": []}
    for _ in range(args.rounds):
        started = time.perf_counter()
        limits, _, positions = flat.range_search(queries, args.radius + 1)
        times["flat"].append(time.perf_counter() - started)
        started = time.perf_counter()
        found = tables.search_radius(queries, args.radius)
        times["tables"].append(time.perf_counter() - started)
    for query in range(count):
        expected = np.sort(positions[limits[query] : limits[query + 1]])
        if not np.array_equal(np.sort(found.of(query)[0]), expected):
            raise SystemExit("The answers differ from those of FAISS's flat index")
    best = {name: min(taken) for name, taken in times.items()}
    shown = {
        name: f"{1000 * best[name] / count:.3f} ({1000 * np.median(taken) / count:.3f})"
        for name, taken in times.items()
    }
    table.add_row(f"FAISS flat, radius {args.radius}", shown["flat"], "1", "exact", "", "")
    ratio = f"{best['flat'] / best['tables']:.0f}"
    table.add_row(str(tables.kind), shown["tables"], ratio, "exact", f"{made:.0f}", f"{memory:.0f}")
    if args.approximate:
        add_approximate(table, index, flat, queries, args.k)
    Console().print(table)


def add_approximate(table: Table, index: CodeIndex, flat: Any, queries: Codes, k: int) -> None:
    """Adds what the approximate kinds find of the k nearest, ties counted as equal."""
    started = time.perf_counter()
    nearest, _ = flat.search(queries, k)
    exact = time.perf_counter() - started
    table.add_row(
        f"FAISS flat, k = {k}", f"{1000 * exact / len(queries):.3f}", "1", "exact", "", ""
    )
    lists = round(len(index) ** 0.5)
    for kind in (IVF(lists=lists, probes=16), HNSW(links=32, ef=64)):
        before, started = psutil.Process().memory_info().rss, time.perf_counter()
        approximate = index.as_kind(kind)
        approximate.search(queries[:1], k)
        made = time.perf_counter() - started
        memory = (psutil.Process().memory_info().rss - before) / 2**20
        started = time.perf_counter()
        positions, distances = approximate.search(queries, k)
        taken = time.perf_counter() - started
        recall = ((positions >= 0) & (distances <= nearest[:, -1:])).mean()
        table.add_row(
            str(kind),
            f"{1000 * taken / len(queries):.3f}",
            f"{exact / taken:.0f}",
            f"{recall:.3f}",
            f"{made:.0f}",
            f"{memory:.0f}",
        )


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
    parser.add_argument("--radius", type=int, help="all within it, on clustered codes")
    parser.add_argument("--noise", type=float, default=0.02, help="of a bit [%(default)s]")
    parser.add_argument("--approximate", action="store_true", help="IVF and HNSW as well")
    args = parser.parse_args()

    limit_threads(args.threads)
    if args.radius is not None:
        compare_radius(args)
        return
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
