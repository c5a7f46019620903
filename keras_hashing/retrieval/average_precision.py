"""Average precision of a Hamming ranking, exact over its ties or by the published protocol."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from keras_hashing.retrieval.distance_histogram import DistanceHistogram, distance_histogram
from keras_hashing.retrieval.hamming import HammingKernel
from keras_hashing.retrieval.query_blocks import for_query_blocks
from keras_hashing.retrieval.relevance import RelevanceKernel
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from keras_hashing.retrieval.validation import check_cut

QUERIES = 256  # handled at a time, so that the [queries, K+1] arrays stay small

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def average_precision(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
    k: int | None = None,
    ties: str = "expected",
) -> FloatArray:
    """Returns the average precision of each query; see `mean_average_precision`.

    Returns:
        Average precision, float64, shape [Q].
    """
    if ties not in ("expected", "stable"):
        raise ValueError(f"`ties` must be 'expected' or 'stable'. Received: ties={ties!r}")
    inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    cut = inputs.items if k is None else check_cut(k, inputs.items, beyond=True)
    if ties == "stable":
        return stable_average_precision(inputs, cut)
    return expected_average_precision(distance_histogram(inputs), cut)


def mean_average_precision(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
    k: int | None = None,
    ties: str = "expected",
) -> float:
    """Returns the mean over queries of average precision, mAP or mAP@k.

    Items are ranked by Hamming distance; an item is relevant, rel = 1, when it shares a label with
    the query. With P(i) the precision among the first i,

        AP@k = Σ_{i=1..k} P(i) rel(i) / Σ_{i=1..k} rel(i)

    (the field's normaliser: the relevant items inside the top k), 0 if none is relevant there.

    A Hamming distance takes K+1 values, so long runs of the ranking are tied:

    - `ties="expected"`: the exact expectation of AP@k over random orders inside each distance, also
      where the cut k falls inside a run. Independent of the database's order.
    - `ties="stable"`: a stable sort by distance, so the database's order decides. For comparison
      with papers only: shuffling the database moves it by 1-2 points. Published code calls
      `argsort` with its default, which is not stable, so its own ties may fall otherwise.

    The first takes O(QN) population counts and no sort; beyond a packed copy of the inputs, memory
    is 32 bytes × Q(K+1) and a constant. The second sorts, O(QN) by radix, in about
    40 bytes × N a thread.

    Source: McSherry & Najork, "Computing Information Retrieval Performance Measures Efficiently in
    the Presence of Tied Scores", ECIR 2008. The expectation over a cut inside a run is exact here
    for the ratio, whose denominator is random as well.

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C]; a row of zeros counts 0.
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: one-hot or multi-hot labels, shape [N, C].
        k: the cut, at least 1; `None`, or more than N, means the whole database.
        ties: `"expected"` or `"stable"`.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    values = average_precision(
        query_codes, query_labels, database_codes, database_labels, k=k, ties=ties
    )
    return float(values.mean())


def expected_average_precision(histogram: DistanceHistogram, cut: int) -> FloatArray:
    """Returns the expectation of AP@cut over random orders inside each distance, float64 [Q]."""
    values = np.empty(len(histogram.items))
    for start in range(0, len(values), QUERIES):
        rows = slice(start, start + QUERIES)
        values[rows] = _expected(histogram.items[rows], histogram.relevant[rows], cut)
    return values


def _expected(items: IntArray, relevant: IntArray, cut: int) -> FloatArray:
    """`expected_average_precision` of a block of queries, from n_d and r_d, each [q, K+1]."""
    items_before = items.cumsum(axis=1) - items
    relevant_before = relevant.cumsum(axis=1) - relevant
    places = np.clip(cut - items_before, 0, items)  # of each group, those above the cut
    linear, quadratic = _group_coefficients(places, items_before, relevant_before)

    whole = places == items
    gain = linear * relevant + quadratic * (relevant * (relevant - 1.0))
    gain = np.where(whole, gain, 0.0).sum(axis=1)
    found = np.where(whole, relevant, 0).sum(axis=1)
    values = gain / np.maximum(found, 1)

    query, group = np.nonzero(~whole & (places > 0))  # the one group that the cut splits, if any
    if len(query):
        at = query, group
        count, weight = _hypergeometric(items[at], relevant[at], places[at])
        split_gain = linear[at][:, None] * count + quadratic[at][:, None] * (count * (count - 1.0))
        # Nothing found before and a count of 0 give 0 / 1: no relevant item in the top k.
        ratio = (gain[query, None] + split_gain) / np.maximum(found[query, None] + count, 1.0)
        values[query] = (weight * ratio).sum(axis=1)
    return values


def _group_coefficients(
    places: IntArray, items_before: IntArray, relevant_before: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Returns a and b such that a group of r relevant among n places gains a·r + b·r(r-1).

    With N items and R relevant ones before the group, its expected Σ P(i) rel(i) is

        (r/n) Σ_{i=1..n} (R + 1 + (i-1)(r-1)/(n-1)) / (N + i)

    where Σ 1/(N+i) = H(N+n) - H(N) = h and Σ (i-1)/(N+i) = n - (N+1)h, so that
    a = (R+1)h / n and b = (n - (N+1)h) / (n(n-1)).
    """
    harmonic = _harmonic_difference(items_before, places)
    linear = (relevant_before + 1) * harmonic / np.maximum(places, 1)
    pairs = np.maximum(places * (places - 1), 1)
    quadratic = np.where(places > 1, (places - (items_before + 1) * harmonic) / pairs, 0.0)
    return linear, quadratic


def _harmonic_difference(start: IntArray, count: IntArray) -> FloatArray:
    """Returns H(start + count) - H(start), to a relative error of about 1e-15.

    Subtracting two harmonic numbers loses their common digits deep in the ranking. There the
    asymptotic series H(x - ½) = γ + ln x + 1/(24x²) - 7/(960x⁴) + 31/(8064x⁶) -
    127/(30720x⁸) + … is subtracted term by term, its logarithms as log1p.
    """

    def tail(x: FloatArray) -> FloatArray:
        square = 1.0 / (x * x)
        return square * (
            1 / 24 - square * (7 / 960 - square * (31 / 8064 - square * (127 / 30720)))
        )

    low = np.maximum(start, 32) + 0.5
    series = np.log1p(count / low) + (tail(low + count) - tail(low))
    direct = digamma(start + count + 1.0) - digamma(start + 1.0)
    return np.where(start < 32, direct, series)


def _hypergeometric(
    items: IntArray, relevant: IntArray, places: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Returns how many of a split group's relevant items may lie above the cut, and how likely.

    The count x of relevant items among m of n places is hypergeometric: C(r,x) C(n-r,m-x) / C(n,m).
    Weights come from the ratio of neighbours, (r-x)(m-x) / ((x+1)(n-r-m+x+1)), summed as logarithms
    and normalised, which avoids large factorials. Counts further than √(20m) from the mean are left
    out: together they weigh less than 2e⁻⁴⁰ (Hoeffding 1963, for sampling without replacement),
    below the resolution of float64.

    Args:
        items: n, shape [s].
        relevant: r, shape [s].
        places: m, shape [s], 0 < m < n.

    Returns:
        Counts and their probabilities, float64, both of shape [s, widest]; a row's rest weighs 0.
    """
    mean = places * (relevant / items)
    reach = np.sqrt(20.0 * places) + 1.0
    first = np.maximum(np.maximum(0, places - (items - relevant)), np.floor(mean - reach))
    last = np.minimum(np.minimum(places, relevant), np.ceil(mean + reach))
    count = first[:, None] + np.arange(int((last - first).max()) + 1)
    inside = count <= last[:, None]

    n, r, m = (array[:, None].astype(np.float64) for array in (items, relevant, places))
    x = count[:, :-1]
    ratio = (r - x) * (m - x) / ((x + 1) * (n - r - m + x + 1))
    logarithm = np.zeros_like(count)
    np.cumsum(np.log(np.where(inside[:, 1:], ratio, 1.0)), axis=1, out=logarithm[:, 1:])
    weight = np.where(inside, np.exp(logarithm - logarithm.max(axis=1, keepdims=True)), 0.0)
    return count, weight / weight.sum(axis=1, keepdims=True)


def stable_average_precision(inputs: RetrievalInputs, cut: int) -> FloatArray:
    """Returns AP@cut of each query after a stable sort by distance, float64 [Q]."""
    values = np.zeros(inputs.queries)

    def fill(rows: slice) -> None:
        hamming = HammingKernel(inputs.items, inputs.database_codes.dtype)
        relevance = RelevanceKernel(inputs.items, inputs.database_labels.dtype)
        distance = np.empty(inputs.items, dtype=np.min_scalar_type(inputs.bits))
        for query in range(*rows.indices(inputs.queries)):
            hamming.distances(inputs.query_codes[:, query], inputs.database_codes, distance)
            relevant = relevance.relevant(inputs.query_labels[:, query], inputs.database_labels)
            order = np.argsort(distance, kind="stable")[:cut]
            rank = np.flatnonzero(relevant[order]) + 1
            if len(rank):
                values[query] = np.mean(np.arange(1, len(rank) + 1) / rank)

    for_query_blocks(fill, inputs.queries)
    return values
