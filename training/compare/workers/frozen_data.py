"""The data of a comparison as a worker sees it: features, labels, splits. No TensorFlow here."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_hashing.files.atomic_write import write_json
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.data.split import Split

_HELD_OUT = 0.1


@dataclass(frozen=True, eq=False)
class FrozenData:
    """Features of all images with their labels, and the splits by seed.

    Args:
        features: [N, D], float16 or float32.
        labels: One-hot or multi-hot, uint8 [N, C].
        splits: The protocol's split of each seed.
    """

    features: np.ndarray
    labels: np.ndarray
    splits: dict[int, Split]
    recipe: Recipe

    @property
    def width(self) -> int:
        """The number of features of an image."""
        return int(self.features.shape[1])

    @cached_property
    def _scales(self) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
        return {}

    def split(self, run: GridRun) -> Split:
        """Query, train and database of a run.

        A run of the tuning sees the training images only: see `validation_split`.
        """
        split = self.splits[run.seed]
        if run.stage == "grid":
            return split
        return validation_split(self.labels, split.train, run.seed)

    def train_size(self, run: GridRun) -> int:
        """The number of training images of a run."""
        return len(self.split(run).train)

    def scale(self, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training images' features, float32 [D]."""
        key = train.tobytes()
        if key not in self._scales:
            values = self.features[train].astype(np.float64)
            deviation = values.std(axis=0)
            deviation[deviation < 1e-6] = 1.0  # a constant feature is only centred
            self._scales[key] = (
                values.mean(axis=0).astype(np.float32),
                deviation.astype(np.float32),
            )
        return self._scales[key]

    def write(self, folder: Path, features_path: Path) -> None:
        """Writes what a worker reads: labels, splits and recipe, and where the features lie."""
        arrays: dict[str, Any] = {"labels": self.labels}
        for seed, split in self.splits.items():
            for part in ("query", "train", "database"):
                arrays[f"{part}_{seed}"] = getattr(split, part)
        np.savez(folder / "data.npz", **arrays)
        about = {"features": str(features_path.resolve()), "recipe": self.recipe.model_dump()}
        write_json(folder / "data.json", about)

    @classmethod
    def read(cls, folder: Path) -> "FrozenData":
        """What `write` wrote."""
        about = json.loads((folder / "data.json").read_text())
        with np.load(folder / "data.npz", allow_pickle=False) as arrays:
            seeds = [int(name.removeprefix("query_")) for name in arrays if "query_" in name]
            parts = ("query", "train", "database")
            splits = {s: Split(*(arrays[f"{part}_{s}"] for part in parts)) for s in seeds}
            labels = arrays["labels"]
        features = np.load(about["features"], mmap_mode="r", allow_pickle=False)
        return cls(features, labels, splits, Recipe(**about["recipe"]))


def validation_split(labels: np.ndarray, train: np.ndarray, seed: int) -> Split:
    """Holds out a fifth of each class of the training images: a tenth as query and as database.

    The database is held out too, as the test's database is: were it trained on, its codes would be
    nearly perfect, and overfitting would look like quality. (Once measured, ten settings per method
    with one seed: the rank correlation of validation and test mAP went from 0.28 to 0.56 for CSQ,
    from 0.16 to 0.89 for DPSH, from 0.67 to 0.83 for GreedyHash, and from 0.71 to 0.62 for DCH.)

    With several labels per image, classes are served from the rarest on, and each counts the
    images that earlier ones took.

    Args:
        labels: Of all images, [N, C].
        train: Positions of the training images, int64, ascending.

    Returns:
        The split; `query` and `database` are alike and can change places.
    """
    order = np.random.default_rng([seed, 2]).permutation(train)
    wanted = np.round(_HELD_OUT * labels[train].astype(bool).sum(axis=0)).astype(int)
    query, order = _taken(labels, order, wanted)
    database, order = _taken(labels, order, wanted)
    return Split(np.sort(query), np.sort(order), np.sort(database))


def _taken(
    labels: np.ndarray, order: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first of `order` that give each class its number, and the others."""
    of_class = labels[order].astype(bool)
    taken = np.zeros(len(order), dtype=bool)
    for column in np.argsort(wanted, kind="stable"):
        missing = max(0, wanted[column] - int((taken & of_class[:, column]).sum()))
        taken[np.flatnonzero(of_class[:, column] & ~taken)[:missing]] = True
    return order[taken], order[~taken]
