"""All items within a Hamming radius of each query."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class WithinRadius(NamedTuple):
    """What was found, one query after another: `limits[q]:limits[q + 1]` is that of query q.

    Attributes:
        limits: int64 [Q + 1].
        positions: positions in the database, int64 [m]; of a query, nearest first, equal distances
            in the order of the database.
        distances: Hamming distances, int32 [m].
    """

    limits: NDArray[np.int64]
    positions: NDArray[np.int64]
    distances: NDArray[np.int32]

    def of(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The positions and distances of one query."""
        rows = slice(self.limits[query], self.limits[query + 1])
        return self.positions[rows], self.distances[rows]

    def nearest(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The first k of each query, both [Q, k]; -1 where there are fewer."""
        counts = np.diff(self.limits)
        rank = np.arange(len(self.positions)) - np.repeat(self.limits[:-1], counts)
        row = np.repeat(np.arange(len(counts)), counts)
        kept = rank < k
        positions = np.full((len(counts), k), -1, dtype=np.int64)
        distances = np.full((len(counts), k), -1, dtype=np.int32)
        positions[row[kept], rank[kept]] = self.positions[kept]
        distances[row[kept], rank[kept]] = self.distances[kept]
        return positions, distances


def in_order(
    counts: NDArray[np.int64], positions: NDArray[np.int64], distances: NDArray
) -> WithinRadius:
    """Matches of one query after another, `counts` of each in any order, as `WithinRadius`."""
    rows = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((positions, distances, rows))
    limits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=limits[1:])
    return WithinRadius(limits, positions[order], distances[order].astype(np.int32))
