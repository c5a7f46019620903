"""What an encoder of vectors takes, in place of images; it loads no Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_integer


@dataclass(frozen=True)
class VectorInput:
    """Float vectors of one width; whatever is done to them is in the model.

    Args:
        width: D, the number of values of a vector.

    Raises:
        ValueError: if `width` is not a positive integer.
    """

    width: int

    def __post_init__(self) -> None:
        check_integer("width", self.width, 1, None, "a positive integer")

    @property
    def shape(self) -> tuple[int]:
        """The shape of one vector, (D,)."""
        return (self.width,)

    def to_config(self) -> dict[str, Any]:
        """A dictionary that `from_config` reads."""
        return {"vector_width": self.width}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VectorInput:
        """What `to_config` described."""
        return cls(config["vector_width"])

    def check(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """The vectors as float32 [n, D], if that is what they are.

        Raises:
            ValueError: if they have another shape, are no numbers, or are not finite or zero.
        """
        return check_vectors(vectors, self.width)


def check_vectors(vectors: ArrayLike, width: int | None = None) -> NDArray[np.float32]:
    """As `VectorInput.check`, of vectors of any width where it is `None`."""
    array = np.asarray(vectors)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`vectors` must hold real numbers. Received: dtype={array.dtype}")
    if array.ndim != 2 or width not in (None, array.shape[1]):
        raise ValueError(
            f"`vectors` must have shape [n, {width or 'D'}]. Received: shape={array.shape}"
        )
    with np.errstate(over="ignore"):  # what is beyond float32 is refused as not finite
        array = array.astype(np.float32, copy=False)
        squares = np.einsum("ij,ij->i", array, array)
    if np.isfinite(squares).all() and squares.all():  # one pass, where nothing is extreme
        return array
    finite, zero = np.isfinite(array).all(axis=1), (array == 0).all(axis=1)
    if not finite.all() or zero.any():
        row = int((~finite | zero).argmax())
        found = "zeros alone" if zero[row] else "a value that is not finite"
        raise ValueError(f"`vectors` must be finite and not zero. Received: {found}, in row {row}")
    return array
