"""The data of a comparison that fine-tunes, as a worker sees it: images, labels, splits."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from keras_hashing.files.atomic_write import write_json
from training.backbones import native_size
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.compare.workers.frozen_data import validation_split
from training.data import ImageDataset
from training.data.loading import load_data
from training.data.protocols import Split, make_split
from training.runs.run_data import RunData
from training.settings import DataSettings


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set, and how runs are trained on it."""

    dataset: ImageDataset
    recipe: Recipe

    def of(self, run: GridRun) -> RunData:
        """What a run is trained and measured on.

        A run of the tuning sees the training images only: see `validation_split`.
        """
        recipe = self.recipe
        preprocessing = self.dataset.preprocessing(
            recipe.height, recipe.width, recipe.channels, native_size(recipe.backbone)
        )
        return RunData(self.dataset, preprocessing, self.split_of(run))

    def split_of(self, run: GridRun) -> Split:
        """Query, train and database of a run."""
        recipe = self.recipe
        split = make_split(self.dataset, recipe.protocol, run.seed, **recipe.protocol_options)
        if run.stage == "grid":
            return split
        return validation_split(self.dataset.labels, split.train, run.seed)

    @staticmethod
    def write(folder: Path, recipe: Recipe, digest: str, place: DataSettings) -> None:
        """Writes what a worker reads: the recipe, where the images lie and which they are.

        Args:
            digest: `ImageDataset.digest` of the data set.
            place: Where the images are; a worker has a working directory of its own.
        """
        absolute = {
            name: os.path.abspath(path)
            for name in ("data_dir", "image_root")
            if (path := getattr(place, name)) is not None and os.path.exists(path)
        }
        place = place.model_copy(update={**absolute, "download": False})
        about = {"recipe": recipe.model_dump(), "place": place.model_dump(), "digest": digest}
        write_json(folder / "images.json", about)

    @classmethod
    def read(cls, folder: Path) -> "ImageData":
        """The data that `write` described.

        Raises:
            ValueError: when the data set has changed since.
        """
        about = json.loads((folder / "images.json").read_text())
        dataset = load_data(DataSettings(**about["place"]), warn=False)
        if dataset.digest != about["digest"]:
            raise ValueError(
                f"The data set {dataset.name!r} has changed since the comparison began: its runs "
                f"would have other splits. Received: {len(dataset)} images, digest "
                f"{dataset.digest}, expected {about['digest']}; begin with another --output"
            )
        assert isinstance(dataset, ImageDataset)  # vectors are not fine-tuned on
        return cls(dataset, Recipe.read(about["recipe"]))
