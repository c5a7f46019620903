"""How many of a vector's true neighbours are among its nearest codes: a figure without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_integer
from keras_hashing.retrieval.hamming import hamming_distance
from keras_hashing.retrieval.query_blocks import QUERIES
from keras_hashing.retrieval.true_neighbours import (
    TrueNeighbours,
    true_neighbours,
)


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

    Memory beyond the inputs is 32 rows of distances to the whole database, and blocks of vectors.

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
    true = true_neighbours(query_vectors, database_vectors, neighbours)
    return recall_within(true, query_codes, database_codes, within)


def recall_within(
    true: TrueNeighbours, query_codes: ArrayLike, database_codes: ArrayLike, within: Sequence[int]
) -> dict[int, float]:
    """`neighbour_recall` of true neighbours that have been found already."""
    codes, items = true.check_codes(query_codes, database_codes)
    cuts = [check_integer("within", cut, 1, None, "positive integers") for cut in within]
    totals = np.zeros(len(cuts))
    rows = zip(true.rows, distances_by_query(codes, items), strict=True)
    for (positions, share), distances in rows:
        tied = np.bincount(distances)
        nearer = np.cumsum(tied) - tied
        at = distances[positions]
        for i, cut in enumerate(cuts):
            totals[i] += share @ np.clip((cut - nearer[at]) / tied[at], 0, 1)
    return dict(zip(cuts, (totals / (true.count * len(codes))).tolist(), strict=True))


def distances_by_query(codes: NDArray, items: NDArray) -> Iterator[NDArray]:
    """Hamming distances to all items, [N], of one query after the other."""
    for start in range(0, len(codes), QUERIES):
        yield from hamming_distance(codes[start : start + QUERIES], items)
