"""Every retrieval figure from one pass over the distances."""

import dataclasses

from numpy.typing import ArrayLike

from keras_hashing.retrieval.average_precision import expected_average_precision
from keras_hashing.retrieval.distance_histogram import distance_histogram
from keras_hashing.retrieval.precision import (
    PrecisionRecallCurve,
    check_radius,
    curve_by_radius,
    expected_precision,
)
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from keras_hashing.retrieval.validation import check_cut


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalFigures:
    """The figures of one evaluation, each equal to what the function of its name returns.

    Attributes:
        map: tie-aware `mean_average_precision` over the whole database.
        k: the cut, or `None`.
        map_at_k: tie-aware `mean_average_precision` at `k`; `None` without a cut.
        precision_at_k: `precision_at_k`; `None` without a cut.
        radius: the Hamming radius of the next figure.
        precision_within_radius: `precision_within_radius`.
        curve: `precision_recall_curve`.
    """

    map: float
    k: int | None
    map_at_k: float | None
    precision_at_k: float | None
    radius: int
    precision_within_radius: float
    curve: PrecisionRecallCurve


def evaluate_retrieval(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
    k: int | None = None,
    radius: int = 2,
) -> RetrievalFigures:
    """Returns all tie-aware figures for the time of one, since all follow from the same counts.

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C].
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: one-hot or multi-hot labels, shape [N, C].
        k: the cut of mAP@k and precision@k, 1 <= k <= N; `None` leaves both out.
        radius: the largest distance inside the Hamming ball, 0 <= radius <= K.

    Returns:
        `RetrievalFigures`.

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    cut = None if k is None else check_cut(k, inputs.items, beyond=False)
    radius = check_radius(radius, inputs.bits)
    histogram = distance_histogram(inputs)
    curve = curve_by_radius(histogram)
    return RetrievalFigures(
        map=float(expected_average_precision(histogram, inputs.items).mean()),
        k=cut,
        map_at_k=None if cut is None else float(expected_average_precision(histogram, cut).mean()),
        precision_at_k=None if cut is None else expected_precision(histogram, cut),
        radius=radius,
        precision_within_radius=float(curve.precision[radius]),
        curve=curve,
    )
