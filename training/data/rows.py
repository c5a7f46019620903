"""Some rows of a large array, read when they are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np

BLOCK = 1 << 14  # rows at a time


class Rows:
    """The rows of an array at some positions, without a copy of them all.

    It has what functions need that go through an array by blocks: `shape`, `ndim`, `size`,
    `dtype`, `len`, and rows by a slice or by integers.

    Args:
        values: The array, [N, D]; it may be memory-mapped.
        positions: Which rows, int64 [n].
        transform: What is done to rows that are read, [m, D] → [m, E], such as a network's
            `predict_on_batch`.
    """

    def __init__(
        self,
        values: Any,
        positions: np.ndarray,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._values, self._positions, self._transform = values, positions, transform
        first = self[:1]
        self.shape = (len(positions), first.shape[1])
        self.ndim, self.size, self.dtype = 2, self.shape[0] * self.shape[1], first.dtype

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        read = np.asarray(self._values[self._positions[rows]])
        return read if self._transform is None else np.asarray(self._transform(read))
