"""Encoding with Apache Beam on this machine, next to plain `index build`.

    python -m benchmarks.beam --model MODEL --images FOLDER [--few FOLDER] [--repeats 3]

Prints seconds and images per second of each command, and their ratio to plain `index build`; each
is the fastest of the repeats, which take turns. `--few` names a folder with a few images: the time
of the same command on it, which is that of the start, is taken off. Checks that the codes are equal
to the last bit.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from export.index.code_shards import index_of_shards
from keras_hashing.files.image_folder import image_files
from keras_hashing.retrieval import CodeIndex

WORKERS = {
    "Beam, 1 worker": [],
    "Beam, 2 processes": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
    "Beam, 4 processes": ["--direct_num_workers=4", "--direct_running_mode=multi_processing"],
}


def build(model: str, images: Path, folder: Path, name: str) -> tuple[float, float, dict]:
    """Seconds, seconds of CPU, and the codes by their ids."""
    output = folder / "output"
    command = ["-m", "export", "index", "build", "--model", model, "--images", str(images)]
    command += ["--output", str(output), "--replace"]
    if name in WORKERS:
        command += ["--beam", "--", *WORKERS[name]]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if name in WORKERS:
        index = index_of_shards(output, folder / "index.npz", replace=True).index
    else:
        index = CodeIndex.load(output)
    return seconds, cpu, dict(zip(index.ids, map(bytes, index.codes), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--few", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    names = ["plain", *WORKERS]
    folders = {"all": options.images} | ({"few": options.few} if options.few else {})
    best = {(name, which): (float("inf"), float("inf")) for name in names for which in folders}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(options.repeats):
            for which, images in folders.items():
                expected = None
                for name in names:
                    folder = Path(scratch, name, which)
                    folder.mkdir(parents=True, exist_ok=True)
                    seconds, cpu, codes = build(options.model, images, folder, name)
                    best[name, which] = tuple(map(min, best[name, which], (seconds, cpu)))
                    expected = codes if expected is None else expected
                    assert codes == expected, f"{name}: other codes than plain index build"
    count, few = len(image_files(options.images)), 0
    if options.few:
        few = len(image_files(options.few))
    print(f"{'':20}  seconds    CPU s  images/s  ratio  per CPU s  ratio")
    rates = {}
    for name in names:
        start = best[name, "few"] if few else (0.0, 0.0)
        net = [whole - begin for whole, begin in zip(best[name, "all"], start, strict=True)]
        rates[name] = [(count - few) / seconds for seconds in net]
        ratio = [rate / base for rate, base in zip(rates[name], rates["plain"], strict=True)]
        print(
            f"{name:20} {best[name, 'all'][0]:8.1f} {best[name, 'all'][1]:8.1f} "
            f"{rates[name][0]:9.0f} {ratio[0]:6.2f} {rates[name][1]:10.0f} {ratio[1]:6.2f}"
        )


if __name__ == "__main__":
    main()
