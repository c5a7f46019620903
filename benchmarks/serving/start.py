"""What the hash head costs on a server, and what the first request after a load costs.

Both on a SavedModel of an untrained network with an index of random codes, which is called in a
session by its signatures, as TensorFlow Serving does it: with every input, by its default where the
request has none. Times are medians of calls that take turns; ratios are what counts.

- Head: images a second through `serving_default` (resize, network, head, packing) against the same
  network alone, exported the same way, on the same batches. `search` is there too.
- Start: the first request of each signature after the load, over the median of those that follow;
  with the version's warm-up requests replayed before, as a server does it, and without. Each load
  is in a process of its own; of several, the median.

    python -m benchmarks.serving.start
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.warm_up import WARM_UP
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import Run
from training.settings import FitSettings

BITS = 64
BACKBONES = ("small", "mobilenet")


class Session:
    """A SavedModel as a server runs it."""

    def __init__(self, folder: Path) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = loaded.signature_def

    def __call__(self, signature: str, **inputs: Any) -> Any:
        """Calls a signature."""
        definition = self.signatures[signature]
        given = {name: tf.make_ndarray(value) for name, value in definition.defaults.items()}
        given.update(inputs)
        feed = {definition.inputs[name].name: value for name, value in given.items()}
        return self._session.run([out.name for out in definition.outputs.values()], feed)

    def replay(self, folder: Path) -> None:
        """Answers the version's warm-up requests."""
        for record in tf.compat.v1.io.tf_record_iterator(str(folder / WARM_UP)):
            request = PredictionLog.FromString(record).predict_log.request
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            self(request.model_spec.signature_name, **inputs)


def make_backbone(name: str, size: int) -> keras.Model:
    if name == "mobilenet":
        network = keras.applications.MobileNetV2((size, size, 3), 0.5, False, None, pooling="avg")
        layers = [keras.layers.Rescaling(1 / 127.5, offset=-1.0), network]
    else:
        layers = [
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(64, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    return keras.Sequential([keras.Input((size, size, 3), dtype="uint8"), *layers])


def export(folder: Path, name: str, size: int, items: int) -> None:
    """Writes folder/1, with index, and folder/backbone."""
    keras.utils.set_random_seed(0)
    backbone = make_backbone(name, size)
    model = HashingModel(backbone, bits=BITS, method="dpsh")
    model(np.zeros((1, size, size, 3), np.uint8))
    run = Run(
        folder=folder,
        config=FitSettings(bits=BITS),
        model=model,
        preprocessing=ImagePreprocessing(size, size, 3),
        class_names=["a", "b"],
        metrics={},
        index_path=folder / "database.npz",
    )
    codes = np.random.default_rng(1).integers(0, 256, (items, BITS // 8), dtype=np.uint8)
    index = CodeIndex(codes, [f"image/{row}" for row in range(items)], run.encoder.fingerprint)
    export_saved_model(run.encoder, folder, 1, index)
    archive = keras.export.ExportArchive()
    archive.track(backbone)
    images = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")

    def features(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": backbone(tf.ensure_shape(images, [None, size, size, 3]))}

    archive.add_endpoint("features", features, [images])
    archive.write_out(str(folder / "backbone"), verbose=False)


def in_turns(calls: dict[str, Callable[[], Any]], times: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(times):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def head(folder: Path, size: int, batch: int, times: int) -> None:
    """Prints the throughput of the signatures over that of the network alone."""
    images = np.random.default_rng(2).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    files = [tf.io.encode_png(image).numpy() for image in images]
    served, bare = Session(folder / "1"), Session(folder / "backbone")
    codes = served("serving_default", images=images)[0]
    calls = {
        "backbone": lambda: bare("features", images=images),
        "serving_default": lambda: served("serving_default", images=images),
        "encode_bytes": lambda: served("encode_bytes", encoded=files),
        "search_code": lambda: served("search_code", code=codes),
        "search": lambda: served("search", encoded=files),
    }
    in_turns(calls, 3)
    seconds = in_turns(calls, times)
    bare_times = np.array(seconds["backbone"])
    for name, taken in seconds.items():
        ratio = np.median(bare_times / taken)
        print(
            f"  {name:18}{batch / np.median(taken):>12.0f} images/s{ratio:>10.3f} of the backbone"
        )


def first_requests(folder: Path, size: int, warm: bool) -> dict[str, tuple[float, float]]:
    """The first time of each signature after a load, and the median of the next, seconds."""
    image = np.random.default_rng(2).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    file = [tf.io.encode_png(image[0]).numpy()]
    served = Session(folder / "1")
    if warm:
        served.replay(folder / "1")
    requests = {
        "encode": {"images": image},
        "encode_bytes": {"encoded": file},
        "search": {"encoded": file, "k": 10},
        "search_code": {"code": np.zeros((1, BITS // 8), np.uint8)},
    }
    found = {}
    for signature, inputs in requests.items():
        taken = in_turns({"": lambda s=signature, i=inputs: served(s, **i)}, 101)[""]
        found[signature] = (taken[0], float(np.median(taken[1:])))
    return found


def start(folder: Path, size: int, warm: bool, loads: int) -> None:
    """Prints the first times over the medians."""
    command = [sys.executable, "-m", "benchmarks.serving.start", "--size", str(size)]
    command += ["--first", str(folder), "warm" if warm else "cold"]
    rounds = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(loads)
    ]
    print(f"  first request {'with' if warm else 'without'} warm-up, {loads} load(s)")
    for signature in rounds[0]:
        first, median = np.median([found[signature] for found in rounds], axis=0) * 1e3
        ratios = sorted(found[signature][0] / found[signature][1] for found in rounds)
        print(
            f"    {signature:16}first {first:9.2f} ms   median {median:8.2f} ms   "
            f"ratio {np.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96, help="height and width of the images")
    parser.add_argument("--items", type=int, default=100_000, help="items of the index")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--first", nargs=2, metavar=("FOLDER", "WARM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        warm = options.first[1] == "warm"
        print(json.dumps(first_requests(Path(options.first[0]), options.size, warm)))
        return
    for name in BACKBONES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            export(folder, name, options.size, options.items)
            print(
                f"{name}, {options.size}×{options.size}, {BITS} bits, {options.items:,} items, "
                f"batch {options.batch}",
                flush=True,
            )
            head(folder, options.size, options.batch, options.times)
            start(folder, options.size, False, 1)
            start(folder, options.size, True, options.loads)


if __name__ == "__main__":
    main()
