"""A data set of vectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_hashing.encoder import VectorInput
from training.data.dataset import Dataset


@dataclass(frozen=True, eq=False, kw_only=True)
class VectorDataset(Dataset):
    """Float vectors with their names, and labels if they have any.

    Args:
        vectors: [n, D], with rows by a slice or by integers; it may be memory-mapped.
        **others: As in `Dataset`.

    Raises:
        ValueError: as `Dataset`, or when there are not as many ids as vectors.
    """

    vectors: Any

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.vectors):
            raise ValueError(
                f"`ids` must have one entry for each of the {len(self.vectors)} vectors. "
                f"Received: {len(self.ids)}"
            )
        super().__post_init__()

    def preprocessing(self, *size: Any) -> VectorInput:
        """The width of the vectors; there is no size to choose."""
        return VectorInput(int(self.vectors.shape[1]))


def one_hot(labels: list[str] | None, count: int) -> tuple[np.ndarray, list[str]]:
    """Labels as uint8 [count, C], and the names of the C columns, sorted; C is 0 without labels."""
    if labels is None:
        return np.zeros((count, 0), np.uint8), []
    names, columns = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return np.eye(len(names), dtype=np.uint8)[columns], names.tolist()
