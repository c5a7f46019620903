"""One run of the grid: what is trained, and how it is named."""

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, order=True)
class GridRun:
    """One training of the grid or of the tuning.

    Args:
        method: A name of `keras_hashing.methods.available()`, and perhaps options, as in
            `dsdh:eta=3`: see `keras_hashing.methods.get`.
        quantization: "none", "native", "hswd", "swd", "ot" or "sign".
        bits: Length of the code.
        weight: Weight of the quantization loss; of a schedule, how many times as fast as
            published; 0 where there is no quantization.
        place: "raw" or "relaxed", the code that the quantization acts on; "schedule" where it is
            one (HashNet's own); "" where there is none.
        seed: Seed of the split, of the initial weights, of order and dropout.
        stage: "grid", or "tuning" for a run on the validation split.
    """

    method: str
    quantization: str
    bits: int
    weight: float
    place: str
    seed: int
    stage: str = "grid"

    @classmethod
    def of(cls, line: dict[str, Any]) -> Self:
        """The run that a line of results is about."""
        return cls(**{name: line[name] for name in cls.__dataclass_fields__})

    def to_json(self) -> dict[str, Any]:
        """The fields, for a line of results."""
        return asdict(self)

    @property
    def column(self) -> tuple[str, str]:
        """Method and quantization."""
        return self.method, self.quantization

    @property
    def cell(self) -> Self:
        """What runs have in common that differ in their seed only."""
        return replace(self, seed=0)

    @property
    def quantization_arguments(self) -> dict[str, Any]:
        """What `HashingModel` and `fit` take; a schedule is a callback: see `schedules`."""
        return {
            "quantization": self.quantization,
            "quantization_weight": 0.0 if self.place == "schedule" else self.weight,
            "quantize": self.place if self.place in ("raw", "relaxed") else None,
        }

    @property
    def schedules(self) -> "list[keras.callbacks.Callback]":
        """HashNet's continuation, the run's multiple as fast as published."""
        if self.place != "schedule":
            return []
        from keras_hashing.callbacks import ScaleContinuation

        published = ScaleContinuation()
        return [
            ScaleContinuation(
                gamma=self.weight * published.gamma,
                every=max(1, round(published.every / self.weight)),
            )
        ]

    @property
    def file_name(self) -> str:
        """Names the files of a run, without suffix."""
        method = re.sub(r"[^\w.=+-]", "_", self.method)
        setting = f"{self.quantization}-{self.weight:g}{self.place}"
        return f"{method}-{setting}-{self.bits}-seed{self.seed}"

    def __str__(self) -> str:
        where = f" × {self.weight:g} {self.place}" if self.place else ""
        return f"{self.method} {self.quantization}{where}, {self.bits} bits, seed {self.seed}"
