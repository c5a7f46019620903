"""Precision and recall of a Hamming ranking: at a cut, within a radius, and by radius."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_integer
from keras_hashing.retrieval.distance_histogram import DistanceHistogram, distance_histogram
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from keras_hashing.retrieval.validation import check_cut


@dataclasses.dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall of the Hamming ball around a query, as means over the queries.

    Attributes:
        radius: 0..K, int64, shape [K+1].
        precision: the share of the ball that is relevant, float64, shape [K+1]. An empty ball
            counts 0.
        recall: the share of the relevant items that lie in the ball, float64, shape [K+1]. A query
            to which nothing is relevant counts 0.
    """

    radius: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def precision_at_k(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
    k: int,
) -> float:
    """Returns the mean over queries of the relevant share of the k nearest items.

    The exact expectation over random orders of equal distances: of a group of n items, r of them
    relevant, with m places above the cut, m·r/n relevant items are expected above it. (McSherry &
    Najork, ECIR 2008.)

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C].
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: one-hot or multi-hot labels, shape [N, C].
        k: the cut, 1 <= k <= N.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    cut = check_cut(k, inputs.items, beyond=False)
    return expected_precision(distance_histogram(inputs), cut)


def precision_within_radius(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
    radius: int = 2,
) -> float:
    """Returns the mean over queries of the relevant share of the items within a Hamming radius.

    An empty ball counts 0, as in the field's P@r=2 of lookup in a hash table. (Published functions
    disagree on it.)

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C].
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: one-hot or multi-hot labels, shape [N, C].
        radius: the largest distance inside the ball, 0 <= radius <= K.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    radius = check_radius(radius, inputs.bits)
    return float(curve_by_radius(distance_histogram(inputs)).precision[radius])


def precision_recall_curve(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
) -> PrecisionRecallCurve:
    """Returns precision and recall within each Hamming radius 0..K, as means over the queries.

    Ties need no care here: a ball holds all the items of a distance or none.

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C].
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: one-hot or multi-hot labels, shape [N, C].

    Returns:
        A `PrecisionRecallCurve`, which states the rules for empty balls and for queries to which
        nothing is relevant.

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    return curve_by_radius(distance_histogram(inputs))


def check_radius(radius: int, bits: int) -> int:
    """Returns `radius` as an int in 0..bits, else raises `ValueError`."""
    return check_integer("radius", radius, 0, bits, f"an integer from 0 to the {bits} bits")


def expected_precision(histogram: DistanceHistogram, cut: int) -> float:
    """Returns the expected precision@cut, the mean over queries."""
    items, relevant = histogram.items, histogram.relevant
    places = np.clip(cut - (items.cumsum(axis=1) - items), 0, items)
    return float((places * relevant / np.maximum(items, 1)).sum(axis=1).mean() / cut)


def curve_by_radius(histogram: DistanceHistogram) -> PrecisionRecallCurve:
    """Returns precision and recall by radius, as means over the queries."""
    items = histogram.items.cumsum(axis=1)
    relevant = histogram.relevant.cumsum(axis=1)
    return PrecisionRecallCurve(
        radius=np.arange(items.shape[1], dtype=np.int64),
        precision=(relevant / np.maximum(items, 1)).mean(axis=0),
        recall=(relevant / np.maximum(relevant[:, -1:], 1)).mean(axis=0),
    )
