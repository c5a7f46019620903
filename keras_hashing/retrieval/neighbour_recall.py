"""How many of a vector's true neighbours are among its nearest codes: a figure without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_integer
from keras_hashing.retrieval.hamming import hamming_distance
from keras_hashing.retrieval.query_blocks import QUERIES
from keras_hashing.retrieval.validation import (
    check_continuous_codes,
    check_packed_codes,
    check_same_width,
)

_ITEMS = 1 << 14  # vectors of the database that are widened to float64 at a time
_DECIMALS = 12  # of a cosine: the rest is rounding, which would tell equal ones apart


def neighbour_recall(
    query_vectors: ArrayLike,
    query_codes: ArrayLike,
    database_vectors: ArrayLike,
    database_codes: ArrayLike,
    neighbours: int = 10,
    within: Sequence[int] = (10, 100, 1000),
) -> dict[int, float]:
    """Returns the share of the true neighbours that are among the R nearest codes, for each R.

    The true neighbours of a query are the `neighbours` vectors of largest cosine. Both rankings
    have ties, and the figure is the exact expectation over random orders of equal cosines and of
    equal distances: with n equal items of which m have a place, each has one with chance m/n.
    Cosines are equal if they agree to 12 decimals.

    Memory beyond the inputs is 32 rows of cosines and distances to the whole database.

    Args:
        query_vectors: float vectors of the queries, shape [Q, D], Q >= 1; none is zero.
        query_codes: their packed codes, uint8, shape [Q, K/8].
        database_vectors: float vectors, shape [N, D]; none is zero. It may be memory-mapped, or any
            object with `shape`, `dtype` and rows by slices: it is read by blocks.
        database_codes: their packed codes, uint8, shape [N, K/8].
        neighbours: how many neighbours count as true, 1 <= neighbours <= N.
        within: values of R, each at least 1; one beyond N means all codes.

    Returns:
        For each R the mean over the queries, a float in [0, 1].

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    queries = _check_vectors("query_vectors", query_vectors)
    database = _check_vectors("database_vectors", database_vectors)
    codes = check_packed_codes("query_codes", query_codes)
    items = check_packed_codes("database_codes", database_codes)
    check_same_width(codes, items)
    _check_rows("query", queries, codes)
    _check_rows("database", database, items)
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            "`query_vectors` and `database_vectors` must have the same width. "
            f"Received: {queries.shape[1]} and {database.shape[1]}"
        )
    rule = f"an integer from 1 to the {len(items)} items of the database"
    neighbours = check_integer("neighbours", neighbours, 1, len(items), rule)
    cuts = [check_integer("within", cut, 1, None, "positive integers") for cut in within]
    totals = np.zeros(len(cuts))
    for start in range(0, len(queries), QUERIES):
        rows = slice(start, start + QUERIES)
        distances = hamming_distance(codes[rows], items)
        for cosines, row in zip(_cosines(queries[rows], database), distances, strict=True):
            share = _share_of_places(-cosines, neighbours)
            true = np.flatnonzero(share)
            for i, cut in enumerate(cuts):
                totals[i] += share[true] @ _share_of_places(row, cut)[true]
    return dict(zip(cuts, (totals / (neighbours * len(queries))).tolist(), strict=True))


def _share_of_places(values: NDArray, places: int) -> NDArray[np.float64]:
    """Each item's chance of being among the smallest `places` values, over the orders of ties."""
    if places >= len(values):
        return np.ones(len(values))
    last = np.partition(values, places - 1)[places - 1]
    below, tied = values < last, values == last
    return below + tied * ((places - below.sum()) / tied.sum())


def _cosines(queries: NDArray, database: Any) -> NDArray[np.float64]:
    """[q, D] and [N, D] → [q, N], in float64 by tiles of the database."""
    cosines = np.empty((len(queries), len(database)))
    directions = _directions(queries)
    for start in range(0, len(database), _ITEMS):
        tile = slice(start, start + _ITEMS)
        cosines[:, tile] = directions @ _directions(database[tile]).T
    return np.round(cosines, _DECIMALS, out=cosines)


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


def _check_rows(part: str, vectors: Any, codes: NDArray) -> None:
    if len(vectors) != len(codes):
        raise ValueError(
            f"`{part}_codes` must have one row per vector. "
            f"Received: {len(codes)} codes for {len(vectors)} vectors"
        )
