"""How every run of a comparison is trained."""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

Mode = Literal["frozen", "fine-tuned"]


class FineTuning(BaseModel):
    """What only a comparison has that trains the whole backbone: the options of `fit` for it.

    Names, rules and defaults are those of `training.runs.settings.FitSettings`, which imports
    TensorFlow; a worker on frozen features does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone_rate: float = Field(default=1.0, ge=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    average_weights: float = Field(default=0.0, ge=0, lt=1)
    flip: bool = False
    shift: int = Field(default=0, ge=0)
    crop: float = Field(default=1.0, gt=0, le=1)
    colour: float = Field(default=0.0, ge=0, lt=1)
    erase: float = Field(default=0.0, ge=0, le=1)


class Recipe(BaseModel):
    """What all runs of a comparison share: data, backbone, head, training, measuring.

    The defaults are the reference recipe of the project: standardised features of a frozen
    backbone, dropout on them, a head of one hidden layer with ReLU, Adam with cosine decay. With
    `fine_tuning` a run is trained as `training.trainer.fit` does it: the whole backbone on
    augmented images, AdamW with warm-up and cosine decay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = "cifar10"
    protocol: str = "cifar10"
    query_per_class: int | None = Field(None, ge=1)
    train_per_class: int | None = Field(None, ge=1)
    query_part: str | None = None
    backbone: str = "efficientnet-lite0"
    height: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=1)
    channels: Literal[1, 3] | None = None

    hidden: int = Field(512, ge=0)
    dropout: float = Field(0.3, ge=0, lt=1)
    epochs: int = Field(25, ge=1)
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    fine_tuning: FineTuning | None = None

    k: int = Field(1000, ge=1)
    radius: int = Field(2, ge=0)

    @model_validator(mode="after")
    def _hidden_layer_on_frozen_features(self) -> Self:
        if self.fine_tuning is None and self.hidden < 1:
            raise ValueError(
                "`hidden` must be at least 1 on frozen features; 0, for none, needs --fine-tune. "
                f"Received: {self.hidden}"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_absent_fine_tuning(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Frozen recipes have no such key, so their digests are those from before there was one."""
        values = dump(self)
        if self.fine_tuning is None:
            values.pop("fine_tuning", None)
        return values

    @property
    def mode(self) -> Mode:
        """Whether the backbone stays as it is or is trained."""
        return "frozen" if self.fine_tuning is None else "fine-tuned"

    @property
    def protocol_options(self) -> dict[str, int | str | None]:
        """The options that were set for the protocol."""
        names = ("query_per_class", "train_per_class", "query_part")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @classmethod
    def check(cls, values: dict[str, Any]) -> "Recipe":
        """The recipe, if each value keeps its rule.

        Raises:
            ValueError: naming each option that does not, and what was received.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError("\n".join(map(_told, error.errors()))) from None


def _told(problem: Any) -> str:
    """A broken rule in one line, by the name of the option that breaks it."""
    if not problem["loc"]:  # of several options, and told by a validator of ours
        return str(problem["ctx"]["error"])
    return f"`{problem['loc'][-1]}`: {problem['msg']}. Received: {problem['input']!r}"


def digest_of(settings: dict[str, Any]) -> str:
    """SHA-256 of settings, cut to 16 hexadecimal digits: it marks each line of results."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
