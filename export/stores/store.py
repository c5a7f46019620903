"""What every store offers: write an index, read it back, search."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.stores.metadata import StoreMetadata
from keras_hashing.retrieval import CodeIndex


class Store(ABC):
    """A place that holds the codes, ids and labels of one index, and what they are.

    A store that cannot be reached raises `ConnectionError`; one that was not written by `write`,
    was written in part or is damaged, `ValueError`; a missing file, `FileNotFoundError`.
    """

    @abstractmethod
    def __str__(self) -> str:
        """Where it is, for messages."""

    @abstractmethod
    def write(self, index: CodeIndex, replace: bool = False) -> None:
        """Writes an index, whole or not at all.

        Raises:
            FileExistsError: if something is there and `replace` is false.
            OSError: if it cannot be written.
        """

    @abstractmethod
    def metadata(self) -> StoreMetadata:
        """What the store says about its codes."""

    @abstractmethod
    def read(self) -> CodeIndex:
        """The index that was written."""

    @abstractmethod
    def search(self, codes: NDArray[np.uint8], k: int) -> list[Sequence[str]]:
        """The ids of the k items nearest to each packed code, uint8 [Q, bytes], by the store."""
