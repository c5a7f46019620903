"""A data set of vectors."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.dataset import Dataset

_VECTORS_IN_DIGEST = 256


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

    @property
    def digest(self) -> str:
        """As of any data set, and over some of the vectors."""
        spread = np.linspace(0, len(self) - 1, min(_VECTORS_IN_DIGEST, len(self)), dtype=int)
        digest = hashlib.sha256(super().digest.encode())
        digest.update(np.ascontiguousarray(self.vectors[spread]).tobytes())
        return digest.hexdigest()[:16]

    @property
    def width(self) -> int:
        """D, the number of values of a vector."""
        return int(self.vectors.shape[1])
