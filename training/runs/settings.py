"""What a run is made of."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.data.augmentation import Augmentation
from training.data.pipeline import Cache
from training.data.protocols import MAP_AT


class FitSettings(BaseModel):
    """All settings of `python -m training fit`; see its `--help` for what each means.

    Raises:
        pydantic.ValidationError: (a `ValueError`) when a value breaks its rule or is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = "digits"
    data_dir: str | None = None
    image_root: str | None = None
    download: bool = False
    on_bad_image: Literal["error", "skip"] = "error"
    height: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=1)
    channels: Literal[1, 3] | None = None

    protocol: str = "per-class"
    query_per_class: int | None = Field(None, ge=1)
    train_per_class: int | None = Field(None, ge=1)
    query_part: str | None = None

    backbone: str = "small-cnn"
    weights: str | None = None
    frozen: bool = False
    feature_cache: str | None = None
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    bits: int = 32
    method: str = "hashnet"
    memory_size: int = Field(0, ge=0)
    quantization: str = "hswd"
    quantization_weight: float = Field(0.3, ge=0)
    quantize: Literal["raw", "relaxed"] | None = None

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(128, ge=1)
    class_balanced: bool = False
    learning_rate: float = Field(1e-3, gt=0)
    backbone_rate: float = Field(1.0, ge=0, le=1)
    weight_decay: float = Field(1e-4, ge=0)
    average_weights: float = Field(0.0, ge=0, lt=1)
    flip: bool = False
    shift: int = Field(0, ge=0)
    crop: float = Field(1.0, gt=0, le=1)
    colour: float = Field(0.0, ge=0, lt=1)
    erase: float = Field(0.0, ge=0, le=1)
    cache: Cache = "memory"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    seed: int = Field(0, ge=0)

    evaluate_every: int = Field(0, ge=0)
    k: int | None = Field(None, ge=1)
    radius: int = Field(2, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _cut_of_the_protocol(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`k` where it is not given: the cut that papers use with the protocol."""
        if values.get("k") is None and values.get("protocol") in MAP_AT:
            return {**values, "k": MAP_AT[values["protocol"]]}
        return values

    @property
    def weights_of_a_run(self) -> Path | None:
        """The folder of the run that the backbone goes on from, if `weights` is one."""
        if self.weights in (None, "imagenet", "none"):
            return None
        folder = Path(self.weights)
        return folder if folder.is_dir() else None

    @property
    def augmentation(self) -> Augmentation:
        """The random changes to training images."""
        return Augmentation(
            flip=self.flip, shift=self.shift, crop=self.crop, colour=self.colour, erase=self.erase
        )

    @property
    def protocol_options(self) -> dict[str, int | str | None]:
        """The options that were set for the protocol."""
        options = {
            name: getattr(self, name)
            for name in ("query_per_class", "train_per_class", "query_part")
        }
        return {name: value for name, value in options.items() if value is not None}

    @classmethod
    def check(cls, values: dict[str, Any]) -> "FitSettings":
        """The settings, or a `ValueError` of one line for each value that breaks its rule."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError(
                "\n".join(
                    f"`{'.'.join(map(str, problem['loc']))}`: {problem['msg']}. "
                    f"Received: {problem['input']!r}"
                    for problem in error.errors()
                )
            ) from error
