"""A million vectors: the memory of `fit`, and encoding against NumPy's matrix product.

    python -m benchmarks.training.vectors_at_scale --folder WORK

A file of clustered vectors is made in the folder, 1,000,000 × 768 float32 (3 GB), and taken away at
the end. Each method is trained in a process of its own. Its memory is what it holds privately,
`RssAnon` of /proc, read every 20 ms: Python, TensorFlow and all arrays, and not the pages of the
mapped file, which the system takes back when it needs them. "before" is at the start of `fit`, with
TensorFlow loaded.

Encoding is `HashEncoder.encode` of the file by the last run, over the time of `vectors @ kernel`
with a kernel of the same shape, by blocks, read from the same file; pairs take turns, and the ratio
is that of the medians. The codes are compared with those of the model itself.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 14
METHODS = ("pca", "itq", "ntxent")


def make_vectors(path: Path, rows: int, width: int) -> None:
    """Writes vectors around 1,000 centres: .npy, or Parquet in row groups."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(1000, width)).astype(np.float32)

    def block(size: int) -> np.ndarray:
        noise = random.standard_normal((size, width), dtype=np.float32)
        return centres[random.integers(len(centres), size=size)] + noise

    sizes = [min(BLOCK, rows - start) for start in range(0, rows, BLOCK)]
    if path.suffix == ".npy":
        file = np.lib.format.open_memmap(path, "w+", np.float32, (rows, width))
        for start, size in zip(range(0, rows, BLOCK), sizes, strict=True):
            file[start : start + size] = block(size)
        file.flush()
        return
    import pyarrow
    import pyarrow.parquet

    kind = pyarrow.list_(pyarrow.float32(), width)
    with pyarrow.parquet.ParquetWriter(path, pyarrow.schema([("vector", kind)])) as writer:
        for size in sizes:
            flat = pyarrow.array(block(size).ravel())
            lists = pyarrow.FixedSizeListArray.from_arrays(flat, width)
            writer.write_table(pyarrow.table({"vector": lists}))


class Memory(threading.Thread):
    """The most private memory of this process, in bytes, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.most = private_memory()
        self.start()

    def run(self) -> None:
        """Looks at it every 20 ms."""
        while True:
            self.most = max(self.most, private_memory())
            time.sleep(0.02)


def private_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def train(vectors: Path, method: str, run: Path) -> None:
    """Trains a run, and prints the memory that it took."""
    from training.settings import FitSettings
    from training.trainer.fit import fit

    settings: dict[str, Any] = {"dataset": "vectors", "data_dir": str(vectors), "method": method}
    checked = FitSettings.check({**settings, "bits": 64, "epochs": 1, "query_share": 0.001})
    memory, started = Memory(), time.perf_counter()
    fit(checked, run, verbose=0)
    print(
        f"{method:8} before {memory.before / 2**20:6,.0f} MiB, most {memory.most / 2**20:6,.0f} "
        f"MiB, {time.perf_counter() - started:.0f} s",
        flush=True,
    )


def encode(vectors: Path, run: Path, repeats: int) -> None:
    """Prints the ratio of encoding to NumPy's matrix product."""
    from keras_hashing.encoder import HashEncoder
    from keras_hashing.retrieval import pack_codes

    encoder = HashEncoder.load(run)
    values = np.load(vectors, mmap_mode="r")
    kernel = np.random.default_rng(0).normal(size=(values.shape[1], encoder.bits))
    kernel = kernel.astype(np.float32)
    blocks = [values[start : start + BLOCK] for start in range(0, len(values), BLOCK)]
    model = np.concatenate([pack_codes(encoder.continuous(block)) for block in blocks])
    print(f"{(encoder.encode(values) != model).any(axis=1).sum():,} codes differ from the model's")
    times: dict[str, list[float]] = {"encode": [], "product": []}

    def products() -> None:
        for block in blocks:
            block @ kernel

    for _ in range(repeats):
        for name, work in (("encode", lambda: encoder.encode(values)), ("product", products)):
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    encoding, product = (statistics.median(times[name]) for name in times)
    print(
        f"encode {encoding:.2f} s, matrix product {product:.2f} s: "
        f"{product / encoding:.0%} of NumPy's speed",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder for the work")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--format", choices=["npy", "parquet"], default="npy")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--repeats", type=int, default=3, help="of the encoding")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--encode", help=argparse.SUPPRESS)
    options = parser.parse_args()
    vectors = options.folder / f"vectors.{options.format}"
    run = options.folder / "run"
    if options.train:
        return train(vectors, options.train, run)
    if options.encode:
        return encode(vectors, run, options.repeats)
    options.folder.mkdir(parents=True, exist_ok=True)
    make_vectors(vectors, options.rows, options.width)
    again = [sys.executable, "-m", "benchmarks.training.vectors_at_scale"]
    again += ["--folder", str(options.folder), "--format", options.format]
    again += ["--repeats", str(options.repeats)]
    try:
        for method in options.methods:
            shutil.rmtree(run, ignore_errors=True)
            subprocess.run([*again, "--train", method], check=True)
        if options.format == "npy":
            subprocess.run([*again, "--encode", "yes"], check=True)
    finally:
        vectors.unlink()


if __name__ == "__main__":
    main()
