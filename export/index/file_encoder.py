"""What makes codes of image files: a Keras encoder, or an exported model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
        """Whether it encodes vectors, and no files."""

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether this is a name of the code space."""

    def encode_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.uint8]:
        """The contents of n image files → packed codes; `ValueError` if one is no image."""
