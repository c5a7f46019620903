"""How every run of a comparison is trained."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Recipe(BaseModel):
    """What all runs of a comparison share: data, backbone, head, training, measuring.

    The defaults are the reference recipe of the project: standardised features of a frozen
    backbone, a head of one hidden layer with ReLU and dropout, Adam with cosine decay.
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

    hidden: int = Field(512, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    epochs: int = Field(25, ge=1)
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0)

    k: int = Field(1000, ge=1)
    radius: int = Field(2, ge=0)

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
            problems = [
                f"`{'.'.join(map(str, problem['loc']))}`: {problem['msg']}. "
                f"Received: {problem['input']!r}"
                for problem in error.errors()
            ]
            raise ValueError("\n".join(problems)) from None


def digest_of(settings: dict[str, Any]) -> str:
    """SHA-256 of settings, cut to 16 hexadecimal digits: it marks each line of results."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
