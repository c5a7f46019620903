"""The data of a run: what it was begun with, found again."""

from dataclasses import dataclass
from typing import Any, Self

from keras_hashing.command_line.stages import stage
from keras_hashing.encoder import VectorInput
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.backbones import native_size
from training.data import ImageDataset, VectorDataset, load_dataset
from training.data.protocols import Split, make_split
from training.data.sources.vectors import load_vectors
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
        data_dir = settings.data_dir if data_dir is None else data_dir
        dataset: ImageDataset | VectorDataset
        preprocessing: ImagePreprocessing | VectorInput
        if settings.dataset == "vectors":
            assert data_dir is not None  # the early checks refuse it
            with stage("Reading vectors"):
                dataset = vectors = load_vectors(data_dir)
            preprocessing = VectorInput(vectors.width)
        else:
            with stage("Reading images"):
                dataset = images = load_dataset(
                    settings.dataset,
                    data_dir,
                    download=settings.download,
                    on_bad_image=settings.on_bad_image,
                    image_root=settings.image_root if image_root is None else image_root,
                    warn=begun is None,
                    unlabelled=settings.unlabelled,
                    unlabelled_dir=settings.unlabelled_dir,
                )
            preprocessing = (
                images.preprocessing(
                    settings.height,
                    settings.width,
                    settings.channels,
                    native_size(settings.backbone, settings.weights),
                )
                if begun is None
                else ImagePreprocessing.from_config(begun["preprocessing"])
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
