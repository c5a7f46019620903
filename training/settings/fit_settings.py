"""All settings of a run."""

from typing import Any, Self

from pydantic import model_validator

from keras_hashing.names import CLOSED_FORM_METHODS, LABEL_FREE_METHODS, quoted
from training.data.protocols import MAP_AT
from training.settings.augmentation import Augmentation, check_unchanged
from training.settings.data import DataSettings, is_unlabelled
from training.settings.measuring import MeasuringSettings
from training.settings.model import ModelSettings
from training.settings.recipes import RECIPES, RecipeSettings, with_recipe
from training.settings.split import SplitSettings
from training.settings.training import TrainingSettings


# Pydantic puts the fields of the last base first.
class FitSettings(
    MeasuringSettings,
    Augmentation,
    TrainingSettings,
    ModelSettings,
    SplitSettings,
    DataSettings,
    RecipeSettings,
):
    """All settings of `python -m training fit`.

    Raises:
        pydantic.ValidationError: (a `ValueError`) when a value breaks its rule or is unknown, or
            values do not fit each other.
    """

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_others(cls, values: dict[str, Any]) -> dict[str, Any]:
        """What the recipe says, and `k`: the cutoff that papers use with the protocol."""
        if is_unlabelled(values):
            values = {**values, "unlabelled": True}
            values["recipe"] = values.get("recipe") or "unlabelled"
        if values.get("dataset") == "vectors":
            values = {**values, "recipe": values.get("recipe") or "vectors"}
        values = with_recipe(values)
        if values.get("k") is None and values.get("protocol") in MAP_AT:
            return {**values, "k": MAP_AT[values["protocol"]]}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.radius > self.bits:
            raise ValueError(
                f"`radius` must be at most `bits`. Received: radius={self.radius}, bits={self.bits}"
            )
        if self.frozen and self.recipe is not None and "frozen" not in RECIPES[self.recipe]:
            raise ValueError(
                f"The recipe {self.recipe!r} trains the network: leave it out, or `frozen`. "
                "Received: frozen=True"
            )
        if self.frozen and self.train_from is not None:
            raise ValueError(
                "`train_from` trains the last stages of the backbone, and `frozen` none of them: "
                f"leave one out. Received: frozen=True, train_from={self.train_from!r}"
            )
        once = "frozen" if self.frozen else "train_from" if self.train_from is not None else None
        if once is None and self.feature_cache is not None:
            raise ValueError(
                "`feature_cache` keeps the features of a frozen backbone, or of its first stages: "
                f"add --frozen or --train-from. Received: feature_cache={self.feature_cache!r}"
            )
        if once is not None:
            check_unchanged(once, self.augmentation)
        if self.takes_two_views and once is None and not self.augmentation.changes_images:
            raise ValueError(
                f"The method {self.instance_method or self.method!r} compares two views of each "
                "image, which random changes make: add --crop 0.5 --colour 0.4, and --flip unless "
                "mirrored images differ (or --frozen, for dropouts of features). "
                "Received: no augmentation"
            )
        if self.method_name in CLOSED_FORM_METHODS and self.distribute not in ("auto", "none"):
            raise ValueError(
                f"`distribute` must be 'auto' or 'none': the method {self.method!r} trains nothing "
                f"that devices could share. Received: {self.distribute!r}"
            )
        if self.frozen and self.backbone_rate != 1:
            raise ValueError(
                "`frozen` leaves the backbone as it is: it has no learning rate. "
                f"Received: backbone_rate={self.backbone_rate}"
            )
        if self.frozen and self.standardise is not None:
            raise ValueError(
                "`standardise` is for a network that is trained; features of a frozen one always "
                f"are standardised: leave it out. Received: standardise={self.standardise}"
            )
        return self

    @model_validator(mode="after")
    def _vectors_or_images(self) -> Self:
        vectors = self.dataset == "vectors"
        if vectors != (self.backbone == "none"):
            raise ValueError(
                "`backbone` must be 'none' for the data set 'vectors', and for no other. "
                f"Received: backbone={self.backbone!r}, dataset={self.dataset!r}"
            )
        if not vectors:
            return self
        if not self.frozen:
            raise ValueError(
                "`frozen` must be set for vectors: there is no network to train. "
                "Received: frozen=False"
            )
        for name in ("height", "width", "channels", "weights", "feature_cache", "unlabelled"):
            if (value := getattr(self, name)) is not None:
                raise ValueError(
                    f"`{name}` is for images: leave it out for vectors. Received: {value!r}"
                )
        return self

    @model_validator(mode="after")
    def _needs_no_labels(self) -> Self:
        if not self.unlabelled:
            return self
        if self.dataset != "folder":
            raise ValueError(
                f"`unlabelled` goes with data set 'folder' only. Received: {self.dataset!r}"
            )
        if self.method_name not in LABEL_FREE_METHODS:
            raise ValueError(
                f"`method` must be one that needs no labels, {quoted(LABEL_FREE_METHODS)}, for "
                f"images without labels. Received: {self.method!r}. If the images have labels, put "
                "those of each class in a subfolder of its own"
            )
        if self.protocol != "held-out-share":
            raise ValueError(
                "`protocol` must be 'held-out-share' for images without labels; the others draw "
                f"images by their classes. Received: {self.protocol!r}"
            )
        return self

    @model_validator(mode="after")
    def _some_labels(self) -> Self:
        if self.unlabelled_dir is not None and (self.dataset != "folder" or self.unlabelled):
            raise ValueError(
                "`unlabelled_dir` goes with images in class folders, data set 'folder'. Received: "
                f"dataset={self.dataset!r}, unlabelled={self.unlabelled}"
            )
        name = "label_share" if self.label_share is not None else "unlabelled_dir"
        if (value := getattr(self, name)) is None:
            return self
        if self.class_balanced:
            raise ValueError(
                f"`class_balanced` draws batches by class, so each training image needs its label: "
                f"leave it out, or `{name}`. Received: {name}={value!r}"
            )
        label_free = self.method_name in LABEL_FREE_METHODS
        if label_free and name == "label_share":
            raise ValueError(
                f"`label_share` goes with a method that learns from labels. Received: {value}, "
                f"method={self.method!r}"
            )
        if not label_free and self.instance_method is None and self.quantization == "none":
            raise ValueError(
                f"`{name}` needs a term that images without labels take part in: add "
                f"--instance-method ntxent, or a quantization. Received: {name}={value!r}, "
                "quantization='none'"
            )
        return self

    @property
    def keeps_neighbours(self) -> bool:
        """Whether codes are to keep the neighbours of the vectors that they are made of."""
        return self.dataset == "vectors" or self.method_name in LABEL_FREE_METHODS

    @property
    def augmentation(self) -> Augmentation:
        """The random changes to training images."""
        return Augmentation(**self.model_dump(include=set(Augmentation.model_fields)))
