"""Near-duplicates of a large index: time, memory, exactness, and what a kill costs.

The codes are clustered: a tenth as many centres as items, and each bit of an item differs from its
centre's with a probability of `--noise`. `index duplicates` runs in a process of its own; its
memory is the largest resident size that the system saw, loading the index included. It is killed
(SIGKILL) once half of its parts are there, resumed, and must write the same bytes as an
uninterrupted run. On the first `--brute-force` items the pairs are compared with all distances.

    python -m benchmarks.search.near_duplicates --items 10000000
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from keras_hashing.retrieval import CodeIndex, hamming_distance
from keras_hashing.retrieval.near_pairs import near_pairs

_BLOCK = 1000  # queries of the comparison with all distances


def clustered_codes(rows: int, bits: int, noise: float, seed: int) -> NDArray[np.uint8]:
    """Items around a tenth as many centres; each bit differs with the probability `noise`."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 256, (max(1, rows // 10), bits // 8), dtype=np.uint8)
    codes = centres[random.integers(0, len(centres), rows)]
    for start in range(0, rows, 1 << 18):
        block = codes[start : start + (1 << 18)]
        block ^= np.packbits(random.random((len(block), bits), dtype=np.float32) < noise, axis=1)
    return codes


def command(index: Path, output: Path, radius: int, *more: str) -> list[str]:
    found = [sys.executable, "-m", "export", "index", "duplicates", "--index", str(index)]
    return [*found, "--radius", str(radius), "--output", str(output), *more]


def killed_and_resumed(index: Path, output: Path, radius: int) -> None:
    """Kills the search once half of its parts are done, and resumes it."""
    process = subprocess.Popen(command(index, output, radius))
    while len(list((output / "partial").glob("0*.pairs"))) < (radius + 1) / 2:
        if process.poll() is not None:
            raise SystemExit("The search was done before it could be killed: take more --items")
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command(index, output, radius, "--resume"), check=True)


def measured(index: Path, output: Path, radius: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and the peak in GiB of one run of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(command(index, output, radius))
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("`index duplicates` failed")
    wall = time.perf_counter() - started
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 2**30


def check_exact(codes: np.ndarray, radius: int) -> int:
    """Compares the join with all distances; returns the number of pairs."""
    shares = [block for part in range(radius + 1) for block in near_pairs(codes, radius, part)]
    found = np.concatenate([np.stack(block) for block in shares], axis=1)
    found = found[:, np.lexsort((found[1], found[0]))]
    expected = []
    for start in range(0, len(codes), _BLOCK):
        distances = hamming_distance(codes[start : start + _BLOCK], codes)
        first, second = np.nonzero(distances <= radius)
        kept = start + first < second
        first, second = first[kept], second[kept]
        expected.append(np.stack([start + first, second, distances[first, second]]))
    if not np.array_equal(found, np.concatenate(expected, axis=1)):
        raise SystemExit("The pairs differ from those of all distances")
    return found.shape[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000, help="[%(default)s]")
    parser.add_argument("--bits", type=int, default=64, help="[%(default)s]")
    parser.add_argument("--radius", type=int, default=2, help="[%(default)s]")
    parser.add_argument("--noise", type=float, default=0.02, help="of a bit [%(default)s]")
    parser.add_argument("--brute-force", type=int, default=100_000, help="items [%(default)s]")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary one)")
    args = parser.parse_args()

    few = clustered_codes(args.brute_force, args.bits, args.noise, seed=1)
    table = Table(title=f"{args.items:,} × {args.bits} bits, radius {args.radius}")
    table.add_row("exact", f"{check_exact(few, args.radius):,} pairs of {len(few):,} items")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        file, once, twice = Path(folder, "i.npz"), Path(folder, "once"), Path(folder, "twice")
        codes = clustered_codes(args.items, args.bits, args.noise, seed=0)
        CodeIndex(codes, range(args.items), "benchmark").save(file)
        del codes
        wall, cpu, peak = measured(file, once, args.radius)
        table.add_row("time", f"{wall:.0f} s, of CPU {cpu:.0f} s")
        table.add_row("memory", f"{peak:.2f} GiB at most")
        killed_and_resumed(file, twice, args.radius)
        same = (once / "clusters.csv").read_bytes() == (twice / "clusters.csv").read_bytes()
        if not same:
            raise SystemExit("What was resumed differs from what was not interrupted")
        table.add_row("killed, resumed", "the same bytes")
    Console().print(table)


if __name__ == "__main__":
    main()
