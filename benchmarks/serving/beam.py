"""Encoding with Apache Beam on this machine, next to plain `index build`.

    python -m benchmarks.serving.beam --model MODEL --images FOLDER [--few FOLDER] [--kill]

Prints seconds and images per second of each command, and their ratio to plain `index build`; each
is the fastest of the repeats, which take turns. `--few` names a folder with a few images: the time
of the same command on it, which is that of the start, is taken off. Checks that the codes are equal
to the last bit. `--kill` then kills a worker in the middle of the last command, by SIGKILL, and
runs it again: no code may be lost, other, or there twice.
"""

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from export.index.code_shards import MANIFEST, index_of_shards
from keras_hashing.files.image_folder import image_files
from keras_hashing.retrieval import CodeIndex

WORKERS = {
    "Beam, 1 worker": [],
    "Beam, 2 processes": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
    "Beam, 4 processes": ["--direct_num_workers=4", "--direct_running_mode=multi_processing"],
}


def command_of(model: str, images: Path, output: Path, name: str) -> list[str]:
    command = ["-m", "export", "index", "build", "--model", model, "--images", str(images)]
    command += ["--output", str(output), "--replace"]
    if name in WORKERS:
        command += ["--beam", "--", *WORKERS[name]]
    return [sys.executable, *command]


def build(model: str, images: Path, folder: Path, name: str) -> tuple[float, float, dict]:
    """Seconds, seconds of CPU, and the codes by their ids."""
    output = folder / "output"
    command = command_of(model, images, output, name)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if name in WORKERS:
        index = index_of_shards(output, folder / "index.npz", replace=True).index
    else:
        index = CodeIndex.load(output)
    codes = dict(zip(index.ids, map(bytes, index.codes), strict=True))
    assert len(codes) == len(index), f"{name}: ids are there twice"
    return seconds, cpu, codes


def workers_of(parent: int) -> list[int]:
    """The processes that a job has started for its workers, all of them descendants of it."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    family = {parent}
    while more := {int(row[0]) for row in rows if int(row[1]) in family} - family:
        family |= more
    return [
        int(pid)
        for pid, _, command in rows
        if int(pid) in family and "sdk_worker_main" in command and "sh -c" not in command
    ]


def kill_a_worker(command: list[str], after: float) -> str:
    """Kills a worker when these seconds have passed; returns what the job said at its end."""
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(after)
    os.kill(workers_of(job.pid)[0], signal.SIGKILL)
    output, _ = job.communicate()
    assert job.returncode, "the job has finished without its worker"
    return output.strip().splitlines()[-1]


def print_table(best: dict, count: int, few_images: Path | None) -> None:
    names = list(dict.fromkeys(name for name, _ in best))
    few = 0 if few_images is None else len(image_files(few_images))
    print(f"{'':20}  seconds    CPU s  images/s  ratio  per CPU s  ratio")
    rates = {}
    for name in names:
        start = best[name, "few"] if few else (0.0, 0.0)
        net = [whole - begin for whole, begin in zip(best[name, "all"], start, strict=True)]
        rates[name] = [(count - few) / seconds for seconds in net]
        ratio = [rate / base for rate, base in zip(rates[name], rates["plain"], strict=True)]
        print(
            f"{name:20} {best[name, 'all'][0]:8.1f} {best[name, 'all'][1]:8.1f} "
            f"{rates[name][0]:9.0f} {ratio[0]:6.2f} {rates[name][1]:10.0f} {ratio[1]:6.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--few", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    names = ["plain", *WORKERS]
    folders = ({"few": options.few} if options.few else {}) | {"all": options.images}
    best = {(name, which): (float("inf"), float("inf")) for name in names for which in folders}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(options.repeats):
            for which, images in folders.items():
                expected: dict[str, bytes] = {}
                for name in names:
                    folder = Path(scratch, name, which)
                    folder.mkdir(parents=True, exist_ok=True)
                    seconds, cpu, codes = build(options.model, images, folder, name)
                    best[name, which] = tuple(map(min, best[name, which], (seconds, cpu)))
                    expected = expected or codes
                    assert codes == expected, f"{name}: other codes than plain index build"
        print_table(best, len(image_files(options.images)), options.few)
        if options.kill:
            folder, after = Path(scratch, "killed"), best[names[-1], "all"][0] / 2
            folder.mkdir()
            command = command_of(options.model, options.images, folder / "output", names[-1])
            print(f"\nA worker killed after {after:.0f} s: {kill_a_worker(command, after)}")
            assert not (folder / "output" / MANIFEST).exists()
            *_, codes = build(options.model, options.images, folder, names[-1])
            assert codes == expected, "other codes than plain index build"
            print(f"The same command again: {len(codes):,} codes, equal to those of index build")


if __name__ == "__main__":
    main()
