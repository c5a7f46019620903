"""What makes codes of image files or of vectors: a Keras encoder, or an exported model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


def check_takes(vector_width: int | None, wanted_width: int | None) -> None:
    """Raises `ValueError` unless a model takes vectors of the width that is wanted.

    `None` stands for images.
    """
    if vector_width == wanted_width:
        return
    wanted, received = (
        "images" if width is None else f"vectors of width {width}"
        for width in (wanted_width, vector_width)
    )
    raise ValueError(f"The model must take {wanted}. Received: a model of {received}")


class FileEncoder(Protocol):
    """What `HashEncoder` and `ServedEncoder` have in common."""

    @property
    def bits(self) -> int:
        """K, the length of a code."""

    @property
    def fingerprint(self) -> str:
        """The name of the code space."""

    @property
    def class_names(self) -> list[str]:
        """The classes trained on."""

    @property
    def source(self) -> str:
        """How the command line names it, such as "--model models/shop"."""

    @property
    def takes_vectors(self) -> bool:
        """Whether it encodes vectors, not images."""

    @property
    def vector_width(self) -> int | None:
        """D, the number of values of a vector; `None` if it encodes images."""

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether this is a name of the code space."""

    def encode_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.uint8]:
        """The contents of n image files → packed codes; `ValueError` if one is no image."""

    def continuous_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.float32]:
        """The same → their continuous codes, float32 [n, K]."""

    def encode(self, vectors: NDArray[np.float32], /) -> NDArray[np.uint8]:
        """Vectors [n, D] → packed codes."""

    def continuous(self, vectors: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Vectors [n, D] → their continuous codes, float32 [n, K]."""
