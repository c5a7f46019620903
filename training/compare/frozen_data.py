"""The data of a comparison as a worker sees it: features, labels, splits. No TensorFlow here."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from training.compare.recipe import Recipe
from training.compare.run import Run
from training.split import Split

VALIDATION_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class FrozenData:
    """Features of all images with their labels, and the splits by seed.

    Args:
        features: [N, D], float16 or float32.
        labels: One-hot or multi-hot, uint8 [N, C].
        splits: The protocol's split of each seed.
        recipe: How runs are trained.
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

    def split(self, run: Run) -> Split:
        """Query, train and database of a run.

        A run of the tuning sees the training images only: a fifth of each class is the query, the
        others are trained on and searched in.
        """
        split = self.splits[run.seed]
        if run.stage == "grid":
            return split
        return validation_split(self.labels, split.train, run.seed)

    def train_size(self, run: Run) -> int:
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
        (folder / "data.json").write_text(json.dumps(about))

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
    """Holds out a fifth of each class of the training images as queries.

    With several labels an image, classes are served from the rarest on, and each counts the
    images that earlier ones took.

    Args:
        labels: Of all images, [N, C].
        train: Split of the training images, int64, ascending.
        seed: Seed of the draw.

    Returns:
        The queries, and the other training images as train and database alike.
    """
    order = np.random.default_rng([seed, 2]).permutation(train)
    of_class = labels[order].astype(bool)
    counts = of_class.sum(axis=0)
    taken = np.zeros(len(order), dtype=bool)
    for column in np.argsort(counts, kind="stable"):
        wanted = round(VALIDATION_SHARE * counts[column])
        missing = max(0, wanted - int((taken & of_class[:, column]).sum()))
        taken[np.flatnonzero(of_class[:, column] & ~taken)[:missing]] = True
    query, rest = np.sort(order[taken]), np.sort(order[~taken])
    return Split(query, rest, rest)
