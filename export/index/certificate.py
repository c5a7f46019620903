"""What an index that answers approximately is worth: its recall, with an interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from keras_hashing.retrieval import CodeIndex, hamming_distance
from keras_hashing.retrieval.index_kinds import MeasuredRecall

Search = Callable[[NDArray[np.uint8], int], Sequence[Sequence[str]]]

_AT_ONCE = 64  # queries
_DRAWN, _FLIPS, _K = 1000, 2, 10  # by which an approximate kind is measured


@dataclass(frozen=True)
class Recall:
    """The mean of one share per query, and where it lies with the confidence asked for.

    Attributes:
        mean: the mean over the queries.
        low: the lower end of the interval.
        high: the upper end.
        queries: the queries that it is the mean of.
    """

    mean: float
    low: float
    high: float
    queries: int

    @classmethod
    def of(cls, shares: NDArray[np.float64], confidence: float) -> "Recall":
        """The mean of shares in [0, 1], with an interval that assumes nothing else.

        The empirical Bernstein bound (Maurer and Pontil, COLT 2009, theorem 4), on both sides:

            |mean - expectation| ≤ √(2 V ln(4/δ) / n) + 7 ln(4/δ) / (3 (n - 1))

        with V the sample variance and δ = 1 - confidence. Where every share is 1 the normal
        interval would be a point.
        """
        count = len(shares)
        if count == 0:
            return cls(math.nan, 0.0, 1.0, 0)
        mean = float(shares.mean())
        if count == 1:
            return cls(mean, 0.0, 1.0, 1)
        log = math.log(4 / (1 - confidence))
        half = math.sqrt(2 * float(shares.var(ddof=1)) * log / count) + 7 * log / (3 * (count - 1))
        return cls(mean, max(0.0, mean - half), min(1.0, mean + half), count)


@dataclass(frozen=True)
class Certificate:
    """How many of the true nearest items a search finds.

    Attributes:
        k: items asked for.
        at_k: recall@k, tie-aware: of the k answers, those not farther than the k-th nearest item.
        radius: the Hamming radius.
        within_radius: of a query's items within the radius (at most k of them), those found; over
            the queries that have some.
    """

    k: int
    at_k: Recall
    radius: int
    within_radius: Recall


def draw_queries(index: CodeIndex, count: int, flips: int, seed: int) -> NDArray[np.uint8]:
    """Codes to search with: those of items drawn without repetition, some bits of each flipped.

    An item's own code would be found by any index that finds equal codes.

    Args:
        count: how many, at least 1; all items if there are fewer.
        flips: bits of each code that are flipped, 0 to K.
        seed: 0 or more; the same seed draws the same queries.

    Returns:
        Packed codes, uint8 [n, bytes].

    Raises:
        ValueError: if an argument breaks its rule.
    """
    if count < 1 or not 0 <= flips <= index.bits or seed < 0 or not len(index):
        raise ValueError(
            f"`count` must be at least 1, `flips` 0 to {index.bits}, `seed` 0 or more, and the "
            f"index not empty. Received: count={count}, flips={flips}, seed={seed}, "
            f"{len(index)} items"
        )
    random = np.random.default_rng(seed)
    count = min(count, len(index))
    drawn = index.codes[np.sort(random.choice(len(index), count, replace=False))]
    bits = np.unpackbits(drawn, axis=1)
    places = random.random((count, index.bits)).argsort(axis=1)[:, :flips]
    np.put_along_axis(bits, places, 1 - np.take_along_axis(bits, places, axis=1), axis=1)
    return np.packbits(bits, axis=1)


def certify(
    index: CodeIndex,
    search: Search,
    queries: NDArray[np.uint8],
    k: int,
    radius: int,
    confidence: float = 0.95,
) -> Certificate:
    """Compares the answers of a search with the exact ones.

    An answer counts by its true distance, so that items at equal distances stand for each other.
    Ids that the index does not have, and repeated ones, count as nothing found.

    Args:
        index: all items, with the codes that are true.
        search: packed codes and k → for each query the ids it finds, nearest first.
        queries: packed codes, uint8 [Q, bytes].
        k: items asked for, 1 to the number of items.
        radius: a Hamming radius, 0 to K.
        confidence: that of the intervals, between 0 and 1.

    Raises:
        ValueError: if an argument breaks its rule.
    """
    if not 1 <= k <= len(index):
        raise ValueError(f"`k` must be 1 to {len(index)}, the items of the index. Received: k={k}")
    if not 0 <= radius <= index.bits:
        raise ValueError(f"`radius` must be 0 to {index.bits}. Received: radius={radius}")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1. Received: {confidence}")
    index = index.as_kind(None)  # which is exact
    at_k, within = [], []
    for start in range(0, len(queries), _AT_ONCE):
        block = queries[start : start + _AT_ONCE]
        exact = index.search(block, k)[1]
        for code, distances, ids in zip(block, exact, search(block, k), strict=True):
            known = index.ids.positions_of(list(dict.fromkeys(ids))[:k])
            found = hamming_distance(code[np.newaxis], index.codes[list(known.values())])[0]
            at_k.append(np.count_nonzero(found <= distances[-1]) / k)
            inside = np.count_nonzero(distances <= radius)
            if inside:
                within.append(np.count_nonzero(found <= radius) / inside)
    return Certificate(
        k, Recall.of(np.array(at_k), confidence), radius, Recall.of(np.array(within), confidence)
    )


def measured(index: CodeIndex) -> CodeIndex:
    """The index; where its kind is approximate, with the recall that it has."""
    if index.kind is None or not index.kind.approximate or not len(index):
        return index
    found = certify(
        index,
        own_search(index),
        draw_queries(index, _DRAWN, min(_FLIPS, index.bits), seed=0),
        min(_K, len(index)),
        radius=0,
    )
    mean, low, high, queries = astuple(found.at_k)
    recall = MeasuredRecall(k=found.k, mean=mean, low=low, high=high, queries=queries)
    return index.as_kind(index.kind.model_copy(update={"recall": recall}))


def own_search(index: CodeIndex) -> Search:
    """The search of an index, by its kind."""

    def search(codes: NDArray[np.uint8], k: int) -> list[list[str]]:
        positions, _ = index.search(codes, k)
        return [[index.ids[at] for at in row if at >= 0] for row in positions.tolist()]

    return search
