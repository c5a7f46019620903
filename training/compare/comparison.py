"""A comparison in its folder: prepare, tune, run the grid."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_hashing.command_line.stages import stage
from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.backbones import make_backbone, native_size
from training.backbones.cut import cut_network
from training.compare.comparison_folder import ComparisonFolder
from training.compare.finish_runs import finish_runs
from training.compare.grid import (
    Choice,
    Column,
    Grid,
    grid_runs,
    reason_not_run,
    reasons_not_run,
    tuning_runs,
)
from training.compare.grid_run import GridRun
from training.compare.recipe import FineTuning, Recipe
from training.compare.results_file import ResultsFile
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.image_data import ImageData
from training.data import Dataset, ImageDataset, VectorDataset
from training.data.augmentation import augment
from training.data.epoch_order import steps_per_epoch
from training.data.feature_cache import cached_features, features_key
from training.data.loading import load_data
from training.data.protocols import make_split
from training.data.sources.image_probe import list_skipped
from training.data.sources.vectors import write_directions
from training.data.split import Split
from training.settings import DataSettings


class Comparison:
    """A prepared comparison.

    Args:
        features_dir: Where the features of a frozen backbone are kept.
        place: Where the images are, and what is done about bad ones.
        verbose: 0 for silence, 1 or 2 for progress.
    """

    def __init__(
        self,
        recipe: Recipe,
        grid: Grid,
        output: Path,
        features_dir: Path,
        place: DataSettings | None = None,
        workers: int = 1,
        verbose: int = 1,
    ) -> None:
        self.recipe, self.grid, self.folder = recipe, grid, ComparisonFolder(output)
        self.workers, self.verbose = workers, verbose
        recipe.check_grid(grid)
        for column in grid.columns:
            reason_not_run(column, single_label=True)  # refuses options that a method lacks
        with self.folder.opened():
            with stage("Reading images"):
                place = place or DataSettings(dataset=recipe.dataset)
                dataset = load_data(place, warn=not self.folder.settings.exists())
            splits = self._splits(dataset)
            self.single_label = dataset.single_label
            self.folder.write_place(place, features_dir)
            if isinstance(dataset, VectorDataset):
                self._prepare_vectors(dataset, splits, features_dir)
                return
            preprocessing = dataset.preprocessing(
                recipe.height, recipe.width, recipe.channels, native_size(recipe.backbone)
            )
            keras.utils.set_random_seed(0)  # of a backbone without pretrained weights
            with stage("Building the network"):
                backbone = make_backbone(recipe.backbone, preprocessing.shape, dropout=0.0)
            if recipe.fine_tuning is None:
                self._prepare_features(dataset, preprocessing, backbone, splits, features_dir)
            else:
                _check_augmentation(recipe.fine_tuning, preprocessing)
                if recipe.fine_tuning.train_from is not None:
                    cut_network(backbone, recipe.fine_tuning.train_from)  # refuses a wrong name
                width = int(backbone.output_shape[-1])
                shape = list(preprocessing.shape)
                self._keep_settings({"images_shape": shape, "width": width}, dataset)
                ImageData.write(self.folder.work, recipe, dataset.digest, place)

    def _splits(self, dataset: ImageDataset | VectorDataset) -> dict[int, Split]:
        recipe = self.recipe
        splits = {}
        for seed in self.grid.seeds:
            split = make_split(dataset, recipe.protocol, seed, **recipe.protocol_options)
            steps_per_epoch(len(split.train), recipe.batch_size)  # refuses too large a batch
            splits[seed] = split
        return splits

    def _prepare_features(
        self,
        dataset: ImageDataset,
        preprocessing: ImagePreprocessing,
        backbone: keras.Model,
        splits: dict[int, Split],
        features_dir: Path,
    ) -> None:
        key = features_key(dataset, preprocessing, backbone)
        features = cached_features(
            dataset, preprocessing, backbone, features_dir, verbose=self.verbose
        )
        self._keep_settings({"features": key, "width": int(features.shape[1])}, dataset)
        data = FrozenData(np.asarray(features), dataset.labels, splits, self.recipe)
        data.write(self.folder.work, Path(features_dir) / f"{key}.npy")

    def _prepare_vectors(
        self, dataset: VectorDataset, splits: dict[int, Split], features_dir: Path
    ) -> None:
        """Vectors of length 1 take the place of features, as in `fit`."""
        if not dataset.class_names:
            raise ValueError(
                "A comparison measures mAP, so the vectors need labels. Received: "
                f"{len(dataset):,} vectors without; `fit` measures the neighbours that are kept"
            )
        key = f"vectors-{dataset.digest}"
        self._keep_settings({"features": key, "width": dataset.width}, dataset)
        path = Path(features_dir) / f"{key}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            write_directions(temporary, dataset.vectors)
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        FrozenData(features, dataset.labels, splits, self.recipe).write(self.folder.work, path)

    def _keep_settings(self, about: dict[str, Any], dataset: Dataset) -> None:
        new = not self.folder.settings.exists()
        self.digest = self.folder.keep_settings(
            {
                "recipe": self.recipe.model_dump(mode="json"),
                "data": {
                    **about,
                    "images": len(dataset),
                    "digest": dataset.digest,
                    "classes": len(dataset.class_names),
                    "single_label": self.single_label,
                    **({"skipped": list(dataset.skipped)} if dataset.skipped else {}),
                },
            }
        )
        if new:
            list_skipped(self.folder.skipped, dataset.skipped)

    def tune(self) -> dict[Column, tuple[Choice, float]]:
        """Chooses weight and place of each column on the validation split, and writes them.

        Raises:
            ValueError: when other weights were tried in the folder, or no setting of a column could
                be trained.
        """
        tried = self.folder.tried_weights(self.digest)
        if not set(tried) <= set(self.grid.tune_weights):
            raise ValueError(
                "`tune_weights` must be those that were tried in the folder, so that every column "
                f"has the same trials: {', '.join(f'{weight:g}' for weight in tried)}. Received: "
                f"{', '.join(f'{weight:g}' for weight in self.grid.tune_weights)}; choose another "
                "--output"
            )
        runs = tuning_runs(self.grid, self.single_label)
        found = self._finish(runs, self.folder.tuning, "Tuning")
        chosen = best_choices(runs, found)
        with self.folder.opened():
            self.folder.write_choices({**self.folder.read_choices(), **chosen})
        return chosen

    def run(self) -> dict[GridRun, dict[str, Any]]:
        """Trains the grid with the chosen settings, those not chosen with the default ones."""
        tuned = self.folder.read_choices()
        choices = {
            column: tuned[column][0] if column in tuned else self.recipe.default_choice(column)
            for column in self.grid.columns
        }
        runs = grid_runs(self.grid, choices, self.single_label)
        return self._finish(runs, self.folder.results, "Grid")

    def not_run(self) -> dict[Column, str]:
        """The cells that do not exist, and why."""
        return reasons_not_run(self.grid.columns, self.single_label)

    def _finish(self, runs: list[GridRun], path: Path, title: str) -> dict[GridRun, dict[str, Any]]:
        if not runs:
            reasons = [f"{' '.join(column)}: {why}" for column, why in self.not_run().items()]
            raise ValueError("Nothing of the grid can be run. " + "; ".join(reasons))
        results = ResultsFile(path, self.digest)
        mode = self.recipe.mode
        return finish_runs(runs, self.folder, results, self.workers, mode, title, self.verbose)


def _check_augmentation(options: FineTuning, preprocessing: ImagePreprocessing) -> None:
    """Refuses, before the first run, what does not fit the images; see `augment`."""
    images = tf.zeros((1, *preprocessing.shape), tf.uint8)
    augment(images, tf.constant([0, 0]), options.augmentation)


def best_choices(
    runs: list[GridRun], found: dict[GridRun, dict[str, Any]]
) -> dict[Column, tuple[Choice, float]]:
    """The setting of each column with the highest validation mAP; of equals the first tried.

    Raises:
        ValueError: when no setting of a column could be trained.
    """
    best: dict[Column, tuple[Choice, float]] = {}
    for run in runs:
        value = found[run].get("map")
        if value is not None and (run.column not in best or value > best[run.column][1]):
            best[run.column] = (Choice(run.weight, run.place), value)
    missing = sorted({run.column for run in runs} - set(best))
    if missing:
        raise ValueError(f"No setting could be trained for {', '.join(map(' '.join, missing))}")
    return best


def default_workers(recipe: Recipe) -> int:
    """As many processes as there are cores for this one; one where TensorFlow takes them all."""
    return len(os.sched_getaffinity(0)) if recipe.mode == "frozen" else 1
