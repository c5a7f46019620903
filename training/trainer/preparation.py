"""Settings that have been checked, with the data they name."""

import warnings
from typing import Any

import keras
import tensorflow as tf

import keras_hashing
from keras_hashing.names import LABEL_FREE_METHODS, quoted
from training.backbones import UNTRAINED
from training.runs.run_data import RunData
from training.settings import FitSettings
from training.trainer.model import new_method
from training.trainer.watched import hold_out


class Preparation:
    """Settings and data that fit each other.

    Raises:
        ValueError: when a setting breaks its rule, or does not fit the data.
    """

    def __init__(self, settings: FitSettings, data: RunData) -> None:
        self.settings, self.data = settings, data
        self.dataset = data.dataset
        self.split, self.watched = hold_out(data.split, settings.validation_share, settings.seed)
        self.preprocessing = data.preprocessing
        self.num_classes = len(self.dataset.class_names)
        if settings.method_name not in LABEL_FREE_METHODS and not self.num_classes:
            raise ValueError(
                f"`method` must be one that needs no labels, {quoted(LABEL_FREE_METHODS)}: the "
                f"data set {self.dataset.name!r} has none. Received: {settings.method!r}"
            )
        labels, labelled = self.dataset.labels, self.dataset.labelled
        new_method(settings, self.num_classes).check_kind_of_labels(
            labels if labelled is None else labels[labelled]
        )
        if settings.k is not None and settings.k > len(self.split.database):
            raise ValueError(
                f"`k` must be at most the size of the database, {len(self.split.database)}. "
                f"Received: k={settings.k}"
            )

    @classmethod
    def load(
        cls,
        settings: FitSettings,
        data_dir: str | None = None,
        image_root: str | None = None,
        begun: dict[str, Any] | None = None,
    ) -> "Preparation":
        """Reads the data that the settings name; the arguments are those of `RunData.load`."""
        warn_of_random_features(settings)
        return cls(settings, RunData.load(settings, data_dir, image_root, begun))

    def configuration(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            **self.data.describe(),
            "versions": {
                "keras_hashing": keras_hashing.__version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
            },
        }


def warn_of_random_features(settings: FitSettings) -> None:
    """Warns where a frozen backbone, or its first stages, keep random weights."""
    untrained = settings.backbone in UNTRAINED and settings.weights is None
    option = "frozen" if settings.frozen else "train_from" if settings.train_from else None
    if option is not None and (untrained or settings.weights == "none"):
        warnings.warn(
            f"`{option}` keeps the random weights of the backbone {settings.backbone!r}: its "
            f"features know nothing of images. Leave out --{option.replace('_', '-')}, use a "
            "pretrained backbone such as efficientnet-lite0, or give a finished run with --weights",
            stacklevel=4,
        )
