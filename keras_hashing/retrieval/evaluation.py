"""Every figure of `FIGURES` from one pass over the distances."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.retrieval.figures import FIGURES, Measured
from keras_hashing.retrieval.precision import PrecisionRecallCurve, check_radius
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from keras_hashing.retrieval.validation import check_cut, check_packed_codes, check_same_width


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalFigures:
    """The figures of one evaluation; each is an attribute too, such as `figures.map`.

    Attributes:
        values: each figure of `FIGURES` by its key; `None` where something that it needs was not
            given: labels, `k` for `map_at_k` and `precision_at_k`, `continuous` for
            `quantization_error`, vectors for neighbour recall, `unseen_queries`.
        k: the cut, or `None`.
        radius: the Hamming radius of `precision_within_radius`.
        curve: `precision_recall_curve`, or `None` without labels.
    """

    values: dict[str, float | None]
    k: int | None
    radius: int
    curve: PrecisionRecallCurve | None

    def __getattr__(self, key: str) -> Any:
        try:
            return self.__dict__["values"][key]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} has no figure {key!r}") from None


def evaluate_retrieval(
    query_codes: ArrayLike,
    query_labels: Any,
    database_codes: ArrayLike,
    database_labels: Any,
    k: int | None = None,
    radius: int = 2,
    continuous: ArrayLike | None = None,
    query_vectors: Any = None,
    database_vectors: Any = None,
    query_continuous: ArrayLike | None = None,
    unseen_queries: ArrayLike | None = None,
) -> RetrievalFigures:
    """Returns all figures; the tie-aware ones take the time of one: they share their counts.

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
        query_labels: one-hot or multi-hot labels, shape [Q, C]. `None`, or C = 0, for data without
            labels leaves out what labels decide.
        database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
        database_labels: likewise, shape [N, C].
        k: the cut of mAP@k and precision@k, 1 <= k <= N; `None` leaves both out.
        radius: the largest distance inside the Hamming ball, 0 <= radius <= K.
        continuous: continuous codes of the database, shape [N, K], for `quantization_error`;
            `None` leaves it out.
        query_vectors: the float vectors of the queries, shape [Q, D], for neighbour recall: see
            `neighbour_recall`. `None` leaves it out.
        database_vectors: those of the database, shape [N, D].
        query_continuous: continuous codes of the queries, shape [Q, K], for neighbour recall after
            re-ranking: see `reranked_neighbour_recall`. `None` leaves it out.
        unseen_queries: which queries are of classes that were not trained on, bool, shape [Q], one
            at least, for their own mAP; `None` leaves it out.

    Returns:
        `RetrievalFigures`.

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.
    """
    inputs = None
    if _both("labels", query_labels, database_labels):
        inputs = RetrievalInputs.check(query_codes, query_labels, database_codes, database_labels)
    queries = check_packed_codes("query_codes", query_codes)
    items = check_packed_codes("database_codes", database_codes)
    check_same_width(queries, items)
    unseen = None if unseen_queries is None else _check_unseen(unseen_queries, len(queries))
    both_vectors = _both("vectors", query_vectors, database_vectors)
    measured = Measured(
        inputs,
        queries,
        items,
        radius=check_radius(radius, 8 * items.shape[1]),
        k=None if k is None else check_cut(k, len(items), beyond=False),
        continuous=continuous,
        bits=None if continuous is None else np.shape(continuous)[1],
        vectors=(query_vectors, database_vectors) if both_vectors else None,
        query_continuous=None if query_continuous is None else np.asarray(query_continuous),
        unseen=unseen,
    )
    values = {key: figure.value(measured) for key, figure in FIGURES.items()}
    curve = None if inputs is None else measured.curve
    return RetrievalFigures(values, measured.k, measured.radius, curve)


def _check_unseen(unseen: ArrayLike, queries: int) -> NDArray[np.bool_]:
    array = np.asarray(unseen)
    if array.dtype != bool or array.shape != (queries,) or not array.any():
        raise ValueError(
            "`unseen_queries` must be bool of shape [Q], and `True` for one query at least. "
            f"Received: {array.dtype} of shape {list(array.shape)}, Q={queries}"
        )
    return array


def _both(what: str, of_queries: Any, of_database: Any) -> bool:
    """Whether queries and database have labels, or vectors; without columns neither has."""
    sides = of_queries, of_database
    if (of_queries is None) != (of_database is None):
        given, missing = ("database", "query") if of_queries is None else ("query", "database")
        raise ValueError(
            f"`query_{what}` and `database_{what}` must be given together. "
            f"Received: `{given}_{what}` without `{missing}_{what}`"
        )
    return of_queries is not None and any(np.shape(side)[1:] != (0,) for side in sides)
