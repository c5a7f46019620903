"""The nearest vectors of each query, which codes should keep near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_integer
from keras_hashing.retrieval.validation import (
    check_continuous_codes,
    check_packed_codes,
    check_same_width,
)

_ITEMS = 1 << 14  # vectors of the database that are widened to float64 at a time
_QUERIES = 1 << 9  # that are compared with them at a time
_DECIMALS = 12  # of a cosine: the rest is rounding, which would tell equal ones apart


@dataclass(frozen=True, eq=False)
class TrueNeighbours:
    """The nearest vectors of each query by the cosine.

    Attributes:
        rows: of each query, the positions of vectors that may be true neighbours, int [m], and
            the chance of each over the orders of equal cosines, float64 [m].
        count: how many neighbours count as true.
        items: the number of vectors of the database.
    """

    rows: list[tuple[NDArray[np.int64], NDArray[np.float64]]]
    count: int
    items: int

    def check_codes(
        self, query_codes: ArrayLike, database_codes: ArrayLike
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The packed codes of queries and database, if they are those of the vectors."""
        codes = check_packed_codes("query_codes", query_codes)
        items = check_packed_codes("database_codes", database_codes)
        check_same_width(codes, items)
        sides = ("query", len(self.rows), codes), ("database", self.items, items)
        for part, vectors, rows in sides:
            if vectors != len(rows):
                raise ValueError(
                    f"`{part}_codes` must have one row per vector. "
                    f"Received: {len(rows)} codes for {vectors} vectors"
                )
        return codes, items


def true_neighbours(
    query_vectors: Any, database_vectors: Any, neighbours: int = 10
) -> TrueNeighbours:
    """The true neighbours of each query; the arguments are those of `neighbour_recall`."""
    queries = _check_vectors("query_vectors", query_vectors)
    database = _check_vectors("database_vectors", database_vectors)
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            "`query_vectors` and `database_vectors` must have the same width. "
            f"Received: {queries.shape[1]} and {database.shape[1]}"
        )
    rule = f"an integer from 1 to the {len(database)} items of the database"
    neighbours = check_integer("neighbours", neighbours, 1, len(database), rule)
    rows = []
    for start in range(0, len(queries), _QUERIES):
        best = _Best(len(queries[start : start + _QUERIES]), neighbours)
        directions = _directions(queries[start : start + _QUERIES])
        for first in range(0, len(database), _ITEMS):
            tile = _directions(database[first : first + _ITEMS])
            best.add(first, np.round(directions @ tile.T, _DECIMALS))
        rows += best.rows()
    return TrueNeighbours(rows, neighbours, len(database))


class _Best:
    """The items of largest cosine of each query so far, and those as near as the last of them."""

    def __init__(self, queries: int, count: int) -> None:
        self._count = count
        self._positions = [np.empty(0, np.int64)] * queries
        self._cosines = [np.empty(0)] * queries
        self._least = np.full(queries, -np.inf)  # that an item must have

    def add(self, first: int, cosines: NDArray[np.float64]) -> None:
        """Cosines of the items from position `first` on, [queries, items]."""
        for query in np.flatnonzero(cosines.max(axis=1) >= self._least):
            new = np.flatnonzero(cosines[query] >= self._least[query])
            positions = np.append(self._positions[query], first + new)
            values = np.append(self._cosines[query], cosines[query, new])
            if len(values) >= self._count:
                self._least[query] = -np.partition(-values, self._count - 1)[self._count - 1]
            kept = values >= self._least[query]
            self._positions[query], self._cosines[query] = positions[kept], values[kept]

    def rows(self) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Of each query the positions, and the chance of each to be a true neighbour."""
        return [
            (positions, _share_of_places(-cosines, self._count))
            for positions, cosines in zip(self._positions, self._cosines, strict=True)
        ]


def _share_of_places(values: NDArray, places: int) -> NDArray[np.float64]:
    """Each item's chance of being among the smallest `places` values, over the orders of ties."""
    if places >= len(values):
        return np.ones(len(values))
    last = np.partition(values, places - 1)[places - 1]
    below, tied = values < last, values == last
    return below + tied * ((places - below.sum()) / tied.sum())


def _directions(vectors: NDArray) -> NDArray[np.float64]:
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _check_vectors(name: str, vectors: Any) -> Any:
    """The vectors as they are, or as an array; they are looked at by blocks."""
    array = vectors if hasattr(vectors, "dtype") else np.asarray(vectors)
    if len(array.shape) != 2 or not array.shape[0]:
        raise ValueError(f"`{name}` must have shape [n, D], n >= 1. Received: shape={array.shape}")
    for start in range(0, len(array), _ITEMS):
        block = check_continuous_codes(name, array[start : start + _ITEMS], start)
        zero = ~block.any(axis=1)
        if zero.any():
            raise ValueError(
                f"`{name}` must have no zero vector: it has no cosine. "
                f"Received: zeros at position {start + int(zero.argmax())}"
            )
    return array
