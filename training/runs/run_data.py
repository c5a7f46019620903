"""The data of a run: what it was begun with, found again."""

from dataclasses import dataclass
from typing import Any, Self

from keras_hashing.command_line.stages import stage
from keras_hashing.encoder import VectorInput
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.backbones import native_size
from training.data import ImageDataset, VectorDataset
from training.data.loading import load_data
from training.data.protocols import Split, make_split
from training.settings import FitSettings


@dataclass(frozen=True, eq=False)
class RunData:
    """A data set, how its images are preprocessed, and its split.

    Args:
        dataset: The data set.
        preprocessing: Size and channels of the model's images, or the width of its vectors.
        split: Query, train and database.
    """

    dataset: ImageDataset | VectorDataset
    preprocessing: ImagePreprocessing | VectorInput
    split: Split

    @classmethod
    def load(
        cls,
        settings: FitSettings,
        data_dir: str | None = None,
        image_root: str | None = None,
        begun: dict[str, Any] | None = None,
    ) -> Self:
        """Reads the data that settings name.

        Args:
            data_dir: Where the data is now; None for where the settings say.
            image_root: Where the images of list files are now; None for where the settings say.
            begun: The content of the `config.json` of a run that was begun: the data must be its
                own, and images are preprocessed as they were.

        Raises:
            ValueError: when settings, data set and protocol do not fit each other.
            FileNotFoundError: when the data is not there.
        """
        kind = "vectors" if settings.dataset == "vectors" else "images"
        with stage(f"Reading {kind}"):
            dataset = load_data(settings.moved(data_dir, image_root), warn=begun is None)
        preprocessing: ImagePreprocessing | VectorInput
        if isinstance(dataset, VectorDataset):
            preprocessing = VectorInput(dataset.width)
        elif begun is not None:
            preprocessing = ImagePreprocessing.from_config(begun["preprocessing"])
        else:
            preprocessing = dataset.preprocessing(
                settings.height,
                settings.width,
                settings.channels,
                native_size(settings.backbone, settings.weights),
            )
        split = make_split(dataset, settings.protocol, settings.seed, **settings.protocol_options)
        data = cls(dataset, preprocessing, split)
        if begun is not None:
            data._check(begun)
        return data

    @property
    def images(self) -> tuple[ImageDataset, ImagePreprocessing]:
        """The data set and its preprocessing, of images.

        Raises:
            ValueError: when it is one of vectors.
        """
        if isinstance(self.dataset, ImageDataset):
            assert isinstance(self.preprocessing, ImagePreprocessing)
            return self.dataset, self.preprocessing
        raise ValueError(f"This needs a run of images. Received: one of {self.dataset.name!r}")

    def describe(self) -> dict[str, Any]:
        """What `config.json` keeps of the data.

        `digest` is `Dataset.digest`.
        """
        labelled = self.dataset.labelled
        return {
            "preprocessing": self.preprocessing.to_config(),
            "class_names": self.dataset.class_names,
            "images": {
                "all": len(self.dataset),
                "query": len(self.split.query),
                "train": len(self.split.train),
                "database": len(self.split.database),
                "skipped": list(self.dataset.skipped),
                "digest": self.dataset.digest,
                **({} if labelled is None else {"unlabelled": int((~labelled).sum())}),
            },
        }

    def _check(self, config: dict[str, Any]) -> None:
        """Refuses data that a run was not begun with: its split would be another one.

        What was left out does not matter, as long as the images are the same.
        """
        now = self.describe()
        for name, value in now.items():
            begun = config.get(name)
            if name == "images":
                value = {**value, "skipped": (begun or {}).get("skipped")}
            if begun != value:
                raise ValueError(
                    "The data set has changed since the run was begun, so query, training set and "
                    f"database are no longer the same: `{name}` was {begun}. Received: {value}"
                )
