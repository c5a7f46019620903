"""Trains each method for 24 steps and saves what came out; the tests start one or two of it.

python trained_by_processes.py OUTPUT VECTORS.npz
"""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_hashing.names import CLOSED_FORM_METHODS, LABEL_FREE_METHODS, METHODS
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.distribution import Distribution, distributed
from training.trainer.preparation import Preparation
from training.trainer.trainer import Trainer

STEPS = {"epochs": 4, "batch_size": 32, "seed": 1, "bits": 16}
FEWEST_STEPS = 20
QUANTIZATIONS = ("none", "hswd")
# Not "swd" and "hswd-pairs": what they draw depends on the last bit of a code.
MORE = {
    "memories": {"method": "dpsh", "memory_size": 50, "quantization_memory": 50},
    "neighbours": {"method": "crovca", "view_neighbours": 3},
    "native": {"method": "dsdh", "quantization": "native"},
    "both": {"method": "orthohash", "instance_method": "ntxent", "label_share": 0.5},
}
DIGITS = {"dataset": "digits", "train_per_class": 16, "dropout": 0.3, **STEPS}
CHANGES = {"flip": True, "shift": 1, "crop": 0.7, "colour": 0.3, "erase": 0.3}
OF_DIGITS = {
    "images hashnet": {"method": "hashnet", **CHANGES},
    "images orthohash": {"method": "orthohash", **CHANGES},
    "images ntxent": {"method": "ntxent", **CHANGES},
    "features": {"method": "hashnet", "frozen": True},
    "stages": {"method": "hashnet", "train_from": "stage1"},
}


def cases(vectors: str) -> dict[str, dict]:
    """Settings by name: what trains, with and without HSWD, on vectors, and some on images."""
    of_vectors = {"dataset": "vectors", "data_dir": vectors, "dropout": 0.3, "hidden": 24, **STEPS}
    methods = [
        name for name in {**METHODS, **LABEL_FREE_METHODS} if name not in CLOSED_FORM_METHODS
    ]
    return {
        **{
            f"{method} {quantization}": {**of_vectors, "method": method}
            | {"quantization": quantization}
            for method in methods
            for quantization in QUANTIZATIONS
        },
        **{name: {**of_vectors, **changes} for name, changes in MORE.items()},
        **{name: {**DIGITS, **changes} for name, changes in OF_DIGITS.items()},
    }


def train(settings: dict, distribution: Distribution) -> dict[str, np.ndarray]:
    """The history, a column a figure, and all weights in one vector."""
    prepared = Preparation.load(FitSettings.check(settings))
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name) / "run")
        folder.path.mkdir()
        trainer = Trainer(prepared, folder, None, distribution=distribution)
        trainer.run(folder, verbose=0)
        if not distribution.first:
            return {}
        lines = [json.loads(line) for line in folder.history.open()]
    history = {key: np.array([line[key] for line in lines]) for key in lines[0] if key != "seconds"}
    return {**history, "weights": weights_of(trainer.model)}


def weights_of(model: keras.Model) -> np.ndarray:
    """All weights of a model that was trained long enough, in one vector."""
    assert int(model.optimizer.iterations) >= FEWEST_STEPS
    return np.concatenate([keras.ops.convert_to_numpy(one).ravel() for one in model.weights])


def main(output: str, vectors: str) -> None:
    with distributed("auto") as distribution:
        found = {name: train(settings, distribution) for name, settings in cases(vectors).items()}
        distribution.part()
    if distribution.first:
        flat = {
            f"{case}/{name}": value
            for case, all_of in found.items()
            for name, value in all_of.items()
        }
        np.savez(output, **flat)


if __name__ == "__main__":
    main(*sys.argv[1:])
