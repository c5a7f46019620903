"""How every run of a comparison is trained."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from keras_hashing.checks import DEFAULT_WEIGHT
from keras_hashing.names import (
    CLOSED_FORM_METHODS,
    RECONSTRUCTING_METHODS,
    TWO_VIEW_METHODS,
    name_and_options,
    quoted,
)
from keras_hashing.settings import Settings, field_of
from training.backbones import NO_BACKBONE
from training.compare.grid import Choice, Column, Grid, default_choice
from training.compare.grid_run import GridRun
from training.data.protocols import MAP_AT
from training.settings import (
    Augmentation,
    DataSettings,
    FitSettings,
    MeasuringSettings,
    ModelSettings,
    SplitSettings,
    TrainingSettings,
)
from training.settings.augmentation import check_unchanged
from training.settings.recipes import RECIPES, PublishedRecipe

Mode = Literal["frozen", "fine-tuned"]


class Published(Settings):
    """The recipe that gives the defaults of the others."""

    model_config = ConfigDict(title="Recipe")

    recipe: PublishedRecipe | None = None
    """Defaults of the other options, and --fine-tune: HashNet without a quantization and with HSWD,
    trained as the authors of HSWD did, or as their figures were made again later (H²Q)."""

    @property
    def values(self) -> dict[str, Any]:
        """The values of `Grid`, `Recipe` and `FineTuning` that the recipe gives."""
        if self.recipe is None:
            return {}
        values = dict(RECIPES[self.recipe])
        values["methods"] = (values.pop("method"),)
        values["quantizations"] = ("none", values.pop("quantization"))
        return values


class FineTuning(Augmentation):
    """What only a comparison has that trains the backbone or its last stages: settings of `fit`."""

    model_config = ConfigDict(title="With --fine-tune, as in `fit`")

    train_from: str | None = field_of(ModelSettings, "train_from")
    standardise: bool | None = field_of(ModelSettings, "standardise")
    backbone_rate: float = field_of(TrainingSettings, "backbone_rate")
    weight_decay: float = field_of(TrainingSettings, "weight_decay")
    average_weights: float = field_of(TrainingSettings, "average_weights")
    optimizer: Literal["adamw", "adam"] = field_of(TrainingSettings, "optimizer")
    remember_all: bool = field_of(ModelSettings, "remember_all")
    continuation_epochs: int = field_of(ModelSettings, "continuation_epochs")

    @model_validator(mode="after")
    def _frozen_stages_see_images_once(self) -> Self:
        if self.train_from is not None:
            check_unchanged("train_from", self.augmentation)
        return self

    @property
    def augmentation(self) -> Augmentation:
        """The random changes to training images."""
        return Augmentation(**self.model_dump(include=set(Augmentation.model_fields)))


class Recipe(SplitSettings):
    """What all runs of a comparison share: data, backbone, head, training, measuring.

    The defaults are the reference recipe of the project: standardised features of a frozen
    backbone, dropout on them, a head of one hidden layer with ReLU, Adam with cosine decay. With
    `fine_tuning` a run is trained as `training.trainer.fit` does it: the whole backbone on
    augmented images, or its last stages on what the first ones gave once, AdamW with warm-up and
    cosine decay.
    """

    model_config = ConfigDict(title="Recipe")

    dataset: str = field_of(DataSettings, "dataset", default="cifar10")
    protocol: str = field_of(SplitSettings, "protocol", default="cifar10")
    backbone: str = field_of(ModelSettings, "backbone", default="efficientnet-lite0")
    height: int | None = field_of(DataSettings, "height")
    width: int | None = field_of(DataSettings, "width")
    channels: Literal[1, 3] | None = field_of(DataSettings, "channels")

    hidden: int = field_of(ModelSettings, "hidden", default=512)
    dropout: float = field_of(ModelSettings, "dropout", default=0.3)
    epochs: int = field_of(TrainingSettings, "epochs", default=25)
    batch_size: int = field_of(TrainingSettings, "batch_size")
    learning_rate: float = field_of(
        TrainingSettings,
        "learning_rate",
        description="Learning rate of Adam, with cosine decay to 0; with --fine-tune as in `fit`.",
    )
    fine_tuning: FineTuning | None = None

    k: int = field_of(
        MeasuringSettings,
        "k",
        default=1000,
        description="Cutoff k of mAP@k and precision@k; protocols of papers have their own.",
    )
    radius: int = field_of(MeasuringSettings, "radius")

    quantization_weight: float = field_of(
        ModelSettings,
        "quantization_weight",
        description="Weight of the quantizations that --tune has not chosen one for, but 'native'. "
        "As all settings of a folder, it stands in each of its commands, --tune as well.",
    )
    quantize: Literal["raw", "relaxed"] = field_of(
        ModelSettings,
        "quantize",
        default="raw",
        description="Code that these quantizations see: raw, or relaxed (after tanh).",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_others(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Those for vectors, and `k` where it is not given: papers' cutoff with the protocol."""
        if values.get("dataset") == "vectors":
            values = {"backbone": NO_BACKBONE, "protocol": "held-out-share", **values}
        if values.get("protocol") in MAP_AT:
            return {"k": MAP_AT[values["protocol"]], **values}
        return values

    @model_serializer(mode="wrap")
    def _without_absent_fine_tuning(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is absent has no key, so that digests are those from before there was one."""
        values = dump(self)
        if self.fine_tuning is None:
            values.pop("fine_tuning", None)
        for part, absent in ((values, _ABSENT), (values.get("fine_tuning", {}), _ABSENT_TUNING)):
            for name, value in absent.items():
                if part.get(name) == value:
                    part.pop(name, None)
        return values

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """The recipe of a dump; in those from before there was `standardise`, it is False."""
        if tuned := values.get("fine_tuning"):
            values = {**values, "fine_tuning": {"standardise": False, **tuned}}
        return cls(**values)

    @property
    def mode(self) -> Mode:
        """Whether the backbone stays as it is or is trained."""
        return "frozen" if self.fine_tuning is None else "fine-tuned"

    def default_choice(self, column: Column) -> Choice:
        """Weight and place of a column that was not tuned."""
        return default_choice(column, self.quantization_weight, self.quantize)

    def fit_settings(self, run: GridRun) -> FitSettings:
        """The settings by which `fit` trains a run of a comparison that fine-tunes.

        Raises:
            ValueError: when a value breaks its rule, or the recipe leaves the backbone frozen.
        """
        if self.fine_tuning is None:
            raise ValueError(f"The recipe must have `fine_tuning`. Received: {self!r}")
        shared = {name for name in Recipe.model_fields if name in FitSettings.model_fields}
        return FitSettings.check(
            {
                **self.model_dump(include=shared),
                **self.fine_tuning.model_dump(),
                "method": run.method,
                "bits": run.bits,
                **run.quantization_arguments,
                "seed": run.seed,
                "evaluate_every": 0,
                "radius": min(self.radius, run.bits),
            }
        )

    def check_grid(self, grid: Grid) -> None:
        """Refuses, before anything is read, what does not suit this recipe."""
        self._check_methods(grid.methods)
        if self.fine_tuning is not None:
            for method, quantization in grid.columns:
                weight, place = self.quantization_weight, self.quantize
                self.fit_settings(GridRun(method, quantization, grid.bits[0], weight, place, 0))

    def _check_methods(self, methods: Sequence[str]) -> None:
        tuned = self.fine_tuning
        if tuned is not None and self.dataset == "vectors":
            raise ValueError(
                "With vectors there is no network to train: leave out --fine-tune, "
                "and a --recipe that means it"
            )
        names = [name_and_options(method)[0] for method in methods]
        frozen_only = {**CLOSED_FORM_METHODS, **RECONSTRUCTING_METHODS}
        of_features = [name for name in names if name in frozen_only]
        if tuned is not None and of_features:
            raise ValueError(
                f"Methods that work on frozen features are not fine-tuned: leave out "
                f"{quoted(of_features, 'and')}, or --fine-tune and --recipe. "
                f"Received: methods={methods}"
            )
        of_views = [name for name in names if name in TWO_VIEW_METHODS]
        whole = None if tuned is None or tuned.train_from is not None else tuned
        if of_views and whole is not None and not whole.augmentation.changes_images:
            raise ValueError(
                f"{quoted(of_views, 'and')} compare two views of each image, which random changes "
                "make: add --crop 0.5 --colour 0.4, and --flip unless mirrored images differ. "
                "Received: no augmentation"
            )
        if of_views and whole is None and not self.dropout:
            raise ValueError(
                f"`dropout` must be above 0: {quoted(of_views, 'and')} compare two dropouts of the "
                "features. Received: dropout=0"
            )


# What has no key in a dump if it is as it was before it could be set: digests are those from then.
_ABSENT = {
    "train_classes": None,
    "query_share": None,
    "quantization_weight": DEFAULT_WEIGHT,
    "quantize": "raw",
}
_ABSENT_TUNING = {
    "train_from": None,
    "standardise": False,
    "optimizer": "adamw",
    "remember_all": False,
    "continuation_epochs": 0,
}


def in_full(dump: dict[str, Any]) -> dict[str, Any]:
    """The values of a recipe's dump by name, with those that have no key in it."""
    values = {**_ABSENT, **dump}
    tuned = values.pop("fine_tuning", None)
    values["fine_tune"] = tuned is not None
    return values if tuned is None else {**values, **_ABSENT_TUNING, **tuned}


def digest_of(settings: dict[str, Any]) -> str:
    """SHA-256 of settings, cut to 16 hexadecimal digits: it marks each line of results."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
