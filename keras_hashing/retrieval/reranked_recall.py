"""Neighbour recall after the nearest codes are reordered by the continuous code of the query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from keras_hashing.checks import check_integer
from keras_hashing.retrieval.neighbour_recall import distances_by_query
from keras_hashing.retrieval.packing import pack_codes, unpack_codes
from keras_hashing.retrieval.true_neighbours import TrueNeighbours, true_neighbours
from keras_hashing.retrieval.validation import check_continuous_codes


def reranked_neighbour_recall(
    query_vectors: ArrayLike,
    query_continuous: ArrayLike,
    database_vectors: ArrayLike,
    database_codes: ArrayLike,
    neighbours: int = 10,
    candidates: int = 100,
) -> float:
    """Returns the share of the true neighbours that come first after re-ranking.

    As a server with `rerank` answers: the `candidates` nearest codes (or `neighbours`, where that
    is more), reordered by u · b, the query's continuous code u against their ±1 codes b. The
    figure is the share of the true `neighbours` among the first `neighbours` of them. It is the
    exact expectation over random orders of the database, which decides what equal distances are
    candidates and the order of equal codes.

    Args:
        query_vectors: as in `neighbour_recall`.
        query_continuous: continuous codes of the queries, shape [Q, K].
        database_vectors: as in `neighbour_recall`.
        database_codes: as in `neighbour_recall`.
        neighbours: as in `neighbour_recall`.
        candidates: how many of the nearest codes are reordered.

    Returns:
        The mean over the queries, in [0, 1].

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    true = true_neighbours(query_vectors, database_vectors, neighbours)
    return recall_after_reranking(true, query_continuous, database_codes, candidates)


def recall_after_reranking(
    true: TrueNeighbours,
    query_continuous: ArrayLike,
    database_codes: ArrayLike,
    candidates: int = 100,
) -> float:
    """`reranked_neighbour_recall` of true neighbours that have been found already."""
    continuous = check_continuous_codes("query_continuous", query_continuous)
    codes, items = true.check_codes(pack_codes(continuous), database_codes)
    candidates = check_integer("candidates", candidates, 1, None, "a positive integer")
    total = 0.0
    rows = zip(true.rows, continuous, distances_by_query(codes, items), strict=True)
    for (positions, share), query, distances in rows:
        count = max(candidates, true.count)
        chance = _chance_of_first(positions, query, distances, items, true.count, count)
        total += float(share @ chance)
    return total / (true.count * len(codes))


def _chance_of_first(
    wanted: NDArray, query: NDArray, distances: NDArray, items: NDArray, places: int, count: int
) -> NDArray[np.float64]:
    """The chance of each wanted item to be among the first `places` of the reordered candidates.

    All items below the distance of the last of the `count` candidates are candidates, and of the
    items at it some, drawn at random. An item has its place by the candidates more similar to the
    query, and shares places at random with those that are as similar.
    """
    count = min(count, len(items))
    last = np.searchsorted(np.cumsum(np.bincount(distances)), count)
    pool = np.flatnonzero(distances <= last)
    # A sum per row, not a matrix product: equal codes must come out equal.
    similarity = (unpack_codes(items[pool], len(query)) * query.astype(np.float64)).sum(axis=1)
    drawn = distances[pool] == last
    draws, tied = int(count - (~drawn).sum()), int(drawn.sum())
    chances = np.zeros(len(wanted))
    for row in np.flatnonzero(distances[wanted] <= last):
        at = np.searchsorted(pool, wanted[row])
        itself = int(drawn[at])  # it must be drawn first, where it has to be
        above, equal = similarity > similarity[at], similarity == similarity[at]
        before, beside = int((above & ~drawn).sum()), int((equal & ~drawn).sum()) - 1 + itself
        a = np.arange(min(places - before, draws - itself + 1))[:, None]
        e = np.arange(min(int((equal & drawn).sum()) - itself, draws - itself) + 1)
        of_above = _drawn(tied - itself, (above & drawn).sum(), draws - itself, a)
        left = tied - itself - (above & drawn).sum()
        of_equal = _drawn(left, (equal & drawn).sum() - itself, draws - itself - a, e)
        place = np.clip((places - before - a) / (1 + beside + e), 0, 1)
        chances[row] = (of_above * of_equal * place).sum() * (draws / tied if itself else 1)
    return chances


def _drawn(total: int, of_kind: int, draws: NDArray | int, found: NDArray) -> NDArray[np.float64]:
    """The chance to draw so many of a kind, without replacement: the hypergeometric distribution.

    C(of_kind, found) C(total - of_kind, draws - found) / C(total, draws)
    """

    def log_choices(n: Any, k: Any) -> NDArray[np.float64]:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        value = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
        return np.where(possible, value, -np.inf)

    ways = log_choices(of_kind, found) + log_choices(total - of_kind, draws - found)
    all_ways = log_choices(total, draws)  # there may be none, and then no `ways`
    return np.exp(ways - np.where(np.isfinite(all_ways), all_ways, 0))
