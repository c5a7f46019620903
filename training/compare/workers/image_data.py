"""The data of a comparison that fine-tunes, as a worker sees it: images, labels, splits."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from training.backbones import native_size
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.compare.workers.frozen_data import validation_split
from training.data import ImageDataset, load_dataset
from training.data.protocols import Split, make_split
from training.data.sources.image_probe import OnBadImage
from training.runs.run_data import RunData


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set, and how runs are trained on it.

    Args:
        dataset: The data set.
        recipe: How runs are trained.
    """

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
        return RunData(self.dataset, preprocessing, self._split(run))

    def _split(self, run: GridRun) -> Split:
        recipe = self.recipe
        split = make_split(self.dataset, recipe.protocol, run.seed, **recipe.protocol_options)
        if run.stage == "grid":
            return split
        return validation_split(self.dataset.labels, split.train, run.seed)

    @staticmethod
    def write(
        folder: Path,
        recipe: Recipe,
        digest: str,
        data_dir: str | None = None,
        image_root: str | None = None,
        on_bad_image: OnBadImage = "error",
    ) -> None:
        """Writes what a worker reads: the recipe, where the images lie and which they are.

        Args:
            folder: Where `read` finds it.
            recipe: How runs are trained.
            digest: `ImageDataset.digest` of the data set.
            data_dir: Where the images are.
            image_root: Where relative paths of list files start.
            on_bad_image: As in `load_dataset`.
        """
        about = {
            "recipe": recipe.model_dump(),
            "data_dir": _from_anywhere(data_dir),
            "image_root": _from_anywhere(image_root),
            "on_bad_image": on_bad_image,
            "digest": digest,
        }
        (folder / "images.json").write_text(json.dumps(about))

    @classmethod
    def read(cls, folder: Path) -> "ImageData":
        """The data that `write` told of.

        Raises:
            ValueError: when the data set has changed since.
        """
        about = json.loads((folder / "images.json").read_text())
        recipe = Recipe(**about["recipe"])
        dataset = load_dataset(
            recipe.dataset,
            about["data_dir"],
            on_bad_image=about["on_bad_image"],
            image_root=about["image_root"],
            warn=False,
        )
        if dataset.digest != about["digest"]:
            raise ValueError(
                f"The data set {dataset.name!r} has changed since the comparison began: its runs "
                f"would have other splits. Received: {len(dataset)} images, digest "
                f"{dataset.digest}, expected {about['digest']}; begin with another --output"
            )
        return cls(dataset, recipe)


def _from_anywhere(path: str | None) -> str | None:
    """An existing path made absolute, since a worker has a working directory of its own."""
    return os.path.abspath(path) if path is not None and os.path.exists(path) else path
