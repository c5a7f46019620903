"""A model server under load: many clients at once, and a new version in the middle.

64 clients send 10,000 requests, half of them to encode (pixels, or image files) and half to search
(image files, or codes). Each answer is compared with the expected one, computed beforehand in this
process from the SavedModel. In the middle a copy of the served version is published under the next
number; no request may be lost. It prints throughput and latencies; it fails on any error or wrong
answer.

By default the test server of `tests/export/serving` is started on loopback: it runs the graph as
TensorFlow Serving does, but its front is Python, so that the figures are a lower bound. `--target`
takes a running server instead, which serves `--model` as `--name`.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "tests" / "export" / "serving")]

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from server_process import ServerProcess

from keras_hashing.client import Client, Neighbours, ServingError
from keras_hashing.encoder.card import Card
from keras_hashing.files.version_folders import version_folders

K = 10
DISTINCT = 200  # images, so that expected answers are few and answers many
KINDS = ("encode pixels", "encode files", "search files", "search codes")


@dataclass
class Work:
    """The images of the load, and what the model says to them.

    Attributes:
        pixels: uint8 [DISTINCT, h, w, C].
        files: the same images as PNG.
        codes: the expected codes.
        neighbours: the expected ids and distances.
    """

    pixels: NDArray[np.uint8]
    files: list[bytes]
    codes: NDArray[np.uint8]
    neighbours: Neighbours


@dataclass
class Tally:
    """What the clients have seen.

    Attributes:
        seconds: the time that each request took, by its kind.
        wrong: answers that are not the expected ones.
        errors: failed requests.
        switched: requests that were sent after the new version was ready.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    switched: int = 0


def make_model(folder: Path, items: int) -> None:
    """Exports an untrained model of small images with an index of random codes."""
    import keras

    import keras_hashing
    from export.saved_model.export_saved_model import export_saved_model
    from keras_hashing.images.preprocessing import ImagePreprocessing
    from keras_hashing.retrieval import CodeIndex
    from training.runs.run_folder import Run
    from training.settings import FitSettings

    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model = keras_hashing.models.HashingModel(backbone, bits=64, method="dpsh")
    model(np.zeros((1, 32, 32, 3), np.uint8))
    run = Run(
        folder=folder,
        config=FitSettings(bits=64),
        model=model,
        preprocessing=ImagePreprocessing(32, 32, 3),
        class_names=["a", "b"],
        metrics={},
        index_path=folder / "database.npz",
    )
    codes = np.random.default_rng(1).integers(0, 256, (items, 8), dtype=np.uint8)
    index = CodeIndex(codes, [f"image/{row}" for row in range(items)], run.encoder.fingerprint)
    export_saved_model(run.encoder, folder, index=index)


def expected_work(version: Path) -> Work:
    """Images of the model's size, with the answers of the SavedModel in this process."""
    card = Card.load(version)
    shape = (card.preprocessing.height, card.preprocessing.width, card.preprocessing.channels)
    pixels = np.random.default_rng(2).integers(0, 256, (DISTINCT, *shape), dtype=np.uint8)
    files = [tf.io.encode_png(image).numpy() for image in pixels]
    model = tf.saved_model.load(str(version))
    codes = model.signatures["encode"](images=tf.constant(pixels))["code"].numpy()
    found = model.signatures["search"](
        encoded=tf.constant(files), k=tf.constant(K), max_distance=tf.constant(2**31 - 1)
    )
    ids = found["ids"].numpy()
    if ids.dtype == object:
        ids = np.array([value.decode() for value in ids.ravel()]).reshape(ids.shape)
    return Work(pixels, files, codes, Neighbours(ids, found["distances"].numpy()))


def ask(client: Client, kind: str, work: Work, row: int) -> bool:
    """Sends one request; returns whether its answer is the expected one."""
    rows = slice(row, row + 1)
    if kind.startswith("encode"):
        images = work.pixels[rows] if kind.endswith("pixels") else work.files[rows]
        return np.array_equal(client.encode(images), work.codes[rows])
    query = work.codes[rows] if kind.endswith("codes") else work.files[rows]
    found = client.search(query, k=K)
    return np.array_equal(found.ids, work.neighbours.ids[rows]) and np.array_equal(
        found.distances, work.neighbours.distances[rows]
    )


def load(
    make_client: Callable[[], Client],
    work: Work,
    requests: int,
    clients: int,
    end: float,
    halfway: threading.Event,
    switched: threading.Event,
) -> Tally:
    """Sends the requests from so many threads, each with a client of its own, until `end`."""
    tally, lock = Tally(), threading.Lock()
    numbers = iter(range(requests))

    def run(seed: int) -> None:
        chance = random.Random(seed)
        with make_client() as client:
            while time.monotonic() < end:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                if number == requests // 2:
                    halfway.set()
                kind = KINDS[number % len(KINDS)]
                after = switched.is_set()
                started = time.perf_counter()
                try:
                    right, problem = ask(client, kind, work, chance.randrange(DISTINCT)), None
                except ServingError as error:
                    right, problem = True, f"{kind}: {type(error).__name__}: {error}"
                seconds = time.perf_counter() - started
                with lock:
                    tally.seconds[kind].append(seconds)
                    tally.wrong += not right
                    tally.switched += after
                    if problem:
                        tally.errors.append(problem)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def publish_copy(folder: Path) -> int:
    """Publishes the highest version again, under the next number, by a rename."""
    versions = version_folders(folder)
    latest = max(versions)
    partial = folder / f".{latest + 1}.partial"
    shutil.copytree(versions[latest], partial)
    partial.rename(folder / str(latest + 1))
    return latest + 1


@contextmanager
def served(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    if options.target:
        yield options.target
        return
    with ServerProcess(folder, options.name) as server:
        yield server.rest_target if options.transport == "rest" else server.target


def report(tally: Tally, elapsed: float) -> None:
    print(f"{'kind':16}{'requests':>10}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    everything = [second for seconds in tally.seconds.values() for second in seconds]
    for kind, seconds in [*tally.seconds.items(), ("all", everything)]:
        if seconds:
            marks = np.percentile(seconds, [50, 95, 99, 100]) * 1000
            print(f"{kind:16}{len(seconds):>10}" + "".join(f"{mark:>10.1f}" for mark in marks))
    print(f"throughput {len(everything) / elapsed:.0f} requests/s over {elapsed:.1f} s")
    print(f"after the new version was ready: {tally.switched} requests")
    print(f"errors {len(tally.errors)}, wrong answers {tally.wrong}")
    for problem in tally.errors[:5]:
        print(f"  {problem}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a model's versions, with an index")
    parser.add_argument("--name", default="load", help="the model's name on the server")
    parser.add_argument("--target", help="host:port of a running server that serves --model")
    parser.add_argument("--transport", choices=["grpc", "rest"], default="grpc")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--items", type=int, default=100_000, help="items of the made index")
    parser.add_argument("--seconds", type=float, default=600.0, help="the load ends by then")
    options = parser.parse_args()
    if options.target and not options.model:
        parser.error("--target needs the --model that is served there")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.model
        if folder is None:
            folder = Path(temporary, "model")
            make_model(folder, options.items)
        elif not options.target:
            folder = shutil.copytree(options.model, Path(temporary, "model"))
        versions = version_folders(folder)
        work = expected_work(versions[max(versions)])
        with served(options, folder) as target:
            sys.exit(run_load(options, folder, target, work))


def run_load(options: argparse.Namespace, folder: Path, target: str, work: Work) -> int:
    """Runs the load and prints the report; returns the exit code."""

    def make_client(version: int | None = None) -> Client:
        return Client(target, options.name, version, transport=options.transport, retries=0)

    with make_client() as client:
        first = client.wait_until_ready(120)
        for kind in KINDS:
            for row in range(3):
                ask(client, kind, work, row)
    halfway, switched = threading.Event(), threading.Event()

    def publish() -> None:
        if halfway.wait(options.seconds):
            number = publish_copy(folder)
            with make_client(number) as client:
                client.wait_until_ready(120)
            switched.set()

    publisher = threading.Thread(target=publish)
    publisher.start()
    started = time.monotonic()
    end = started + options.seconds
    tally = load(make_client, work, options.requests, options.clients, end, halfway, switched)
    elapsed = time.monotonic() - started
    halfway.set()
    publisher.join()
    with make_client() as client:
        last = client.wait_until_ready(10)
    print(
        f"{options.clients} clients over {options.transport}, {os.cpu_count()} processors, "
        f"{DISTINCT} distinct images of {work.pixels.shape[1:]}, {8 * work.codes.shape[1]} bits, "
        f"k = {K}; version {first}, then {last}"
    )
    report(tally, elapsed)
    sent = sum(map(len, tally.seconds.values()))
    complete = sent == options.requests and last == first + 1
    if not complete:
        print(f"incomplete: {sent} of {options.requests} requests, version {last}")
    return 0 if complete and not tally.errors and not tally.wrong else 1


if __name__ == "__main__":
    main()
