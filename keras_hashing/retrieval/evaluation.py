"""Every figure of `FIGURES` from one pass over the distances."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_hashing.retrieval.figures import FIGURES, Measured
from keras_hashing.retrieval.precision import PrecisionRecallCurve, check_radius
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from keras_hashing.retrieval.validation import check_cut, check_packed_codes


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalFigures:
    """The figures of one evaluation; each is an attribute too, such as `figures.map`.

    Attributes:
        values: each figure of `FIGURES` by its key; `None` where something that it needs was not
            given: `k` for `map_at_k` and `precision_at_k`, `continuous` for `quantization_error`.
        k: the cut, or `None`.
        radius: the Hamming radius of `precision_within_radius`.
        curve: `precision_recall_curve`.
    """

    values: dict[str, float | None]
    k: int | None
    radius: int
    curve: PrecisionRecallCurve

    def __getattr__(self, key: str) -> Any:
        try:
            return self.__dict__["values"][key]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} has no figure {key!r}") from None


def evaluate_retrieval(
    query_codes: ArrayLike,
    query_labels: ArrayLike,
    database_codes: ArrayLike,
    database_labels: ArrayLike,
    k: int | None = None,
    radius: int = 2,
    continuous: ArrayLike | None = None,
) -> RetrievalFigures:
    """Returns all figures; the tie-aware ones take the time of one: they share their counts.

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C].
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: one-hot or multi-hot labels, shape [N, C].
        k: the cut of mAP@k and precision@k, 1 <= k <= N; `None` leaves both out.
        radius: the largest distance inside the Hamming ball, 0 <= radius <= K.
        continuous: continuous codes of the database, shape [N, K], for `quantization_error`;
            `None` leaves it out.

    Returns:
        `RetrievalFigures`.

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    measured = Measured(
        inputs,
        check_packed_codes("database_codes", database_codes),
        radius=check_radius(radius, inputs.bits),
        k=None if k is None else check_cut(k, inputs.items, beyond=False),
        continuous=continuous,
        bits=None if continuous is None else np.shape(continuous)[1],
    )
    values = {key: figure.value(measured) for key, figure in FIGURES.items()}
    return RetrievalFigures(values, measured.k, measured.radius, measured.curve)
