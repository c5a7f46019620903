"""The figures that codes are judged by, in one table that every output goes through.

To add a figure, write its function and an entry of `FIGURES`. Then `evaluate_retrieval`, a run's
metrics.json and card, the command line, `RetrievalEvaluation` (and with it the history and
TensorBoard) and the results, tables and CSV files of a comparison have it.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.retrieval.average_precision import (
    expected_average_precision,
    stable_average_precision,
)
from keras_hashing.retrieval.code_statistics import (
    bit_balance,
    bit_correlation,
    code_entropy,
    quantization_error,
    unique_codes,
)
from keras_hashing.retrieval.distance_histogram import DistanceHistogram, distance_histogram
from keras_hashing.retrieval.neighbour_recall import recall_within
from keras_hashing.retrieval.precision import (
    PrecisionRecallCurve,
    curve_by_radius,
    expected_precision,
)
from keras_hashing.retrieval.reranked_recall import recall_after_reranking
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from keras_hashing.retrieval.true_neighbours import TrueNeighbours, true_neighbours

NEIGHBOURS = 10  # the nearest vectors of a query that neighbour recall looks for
NEIGHBOURS_WITHIN = (10, 100, 1000)
NEIGHBOUR_QUERIES = 1000  # at most: each is compared with the whole database in float64


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What figures are computed from; all that several of them need is computed once.

    Attributes:
        inputs: checked codes and labels of queries and database, or `None` without labels.
        query_codes: packed codes, uint8, shape [Q, K/8].
        database_codes: packed codes, uint8, shape [N, K/8].
        radius: a Hamming radius.
        k: a cut, or `None`.
        continuous: continuous codes of the database, shape [N, K], or `None`.
        bits: K; `None` for all bits of the bytes.
        vectors: the float vectors that were encoded, of queries and database, or `None`.
        query_continuous: continuous codes of the queries, shape [Q, K], or `None`.
        unseen: which queries are of classes that were not trained on, bool, shape [Q], or `None`.
    """

    inputs: RetrievalInputs | None
    query_codes: NDArray[np.uint8]
    database_codes: NDArray[np.uint8]
    radius: int
    k: int | None = None
    continuous: ArrayLike | None = None
    bits: int | None = None
    vectors: tuple[Any, Any] | None = None
    query_continuous: NDArray[np.floating] | None = None
    unseen: NDArray[np.bool_] | None = None

    @cached_property
    def histogram(self) -> DistanceHistogram:
        """How many items, and how many relevant ones, lie at each distance from each query."""
        assert self.inputs is not None  # figures that use this need it
        return distance_histogram(self.inputs)

    @cached_property
    def asked(self) -> NDArray[np.int64]:
        """The queries whose neighbours are looked for: `NEIGHBOUR_QUERIES`, spread evenly."""
        count = len(self.query_codes)
        return np.linspace(0, count - 1, min(count, NEIGHBOUR_QUERIES), dtype=int)

    @cached_property
    def neighbours(self) -> TrueNeighbours:
        """The nearest vectors of those queries."""
        assert self.vectors is not None  # figures that use this need it
        queries, database = self.vectors
        most = min(NEIGHBOURS, len(self.database_codes))
        return true_neighbours(np.asarray(queries[self.asked]), database, most)

    @cached_property
    def neighbours_found(self) -> dict[int, float]:
        """The share of the nearest vectors within R codes, by R: `neighbour_recall`."""
        codes = self.query_codes[self.asked]
        return recall_within(self.neighbours, codes, self.database_codes, NEIGHBOURS_WITHIN)

    @cached_property
    def curve(self) -> PrecisionRecallCurve:
        """Precision and recall by radius."""
        return curve_by_radius(self.histogram)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: its name in dictionaries, files and logs.
        title: its name for a reader, in which `{k}` and `{radius}` stand for those numbers.
        function: computes it; called only when all it needs is there.
        better: whether "higher" or "lower" is better; "" where neither is.
        digits: digits after the point in tables.
        needs: the attributes of `Measured` that must not be `None`.
    """

    key: str
    title: str
    function: Callable[[Measured], float]
    better: Literal["higher", "lower", ""] = ""
    digits: int = 4
    needs: tuple[str, ...] = ("inputs",)

    def heading(self, k: int | None, radius: int) -> str:
        """The title with its numbers."""
        return self.title.format(k="k" if k is None else k, radius=radius)

    def value(self, measured: Measured) -> float | None:
        """The figure; `None` where something that it needs is missing."""
        if any(getattr(measured, name) is None for name in self.needs):
            return None
        return self.function(measured)


def _map(measured: Measured) -> float:
    return _map_at(measured, len(measured.database_codes))


def _map_at_k(measured: Measured) -> float:
    assert measured.k is not None
    return _map_at(measured, measured.k)


def _map_at(measured: Measured, cut: int) -> float:
    return float(expected_average_precision(measured.histogram, cut).mean())


def _map_of_unseen_classes(measured: Measured) -> float:
    each = expected_average_precision(measured.histogram, len(measured.database_codes))
    return float(each[measured.unseen].mean())


def _map_stable(measured: Measured) -> float:
    assert measured.inputs is not None
    return float(stable_average_precision(measured.inputs, measured.inputs.items).mean())


def _precision_at_k(measured: Measured) -> float:
    assert measured.k is not None
    return expected_precision(measured.histogram, measured.k)


def _precision_within_radius(measured: Measured) -> float:
    return float(measured.curve.precision[measured.radius])


def _quantization_error(measured: Measured) -> float:
    assert measured.continuous is not None
    return quantization_error(measured.continuous)


def _of_codes(function: Callable[..., float]) -> Callable[[Measured], float]:
    return lambda measured: function(measured.database_codes)


def _of_bits(function: Callable[..., float]) -> Callable[[Measured], float]:
    return lambda measured: function(measured.database_codes, measured.bits)


def _neighbours_within(within: int) -> Callable[[Measured], float]:
    return lambda measured: measured.neighbours_found[within]


def _reranked(measured: Measured) -> float:
    assert measured.query_continuous is not None
    continuous = measured.query_continuous[measured.asked]
    return recall_after_reranking(measured.neighbours, continuous, measured.database_codes)


FIGURES: dict[str, Figure] = {
    figure.key: figure
    for figure in (
        Figure("map", "mAP", _map, "higher"),
        Figure(
            "map_of_unseen_classes",
            "mAP of unseen classes",
            _map_of_unseen_classes,
            "higher",
            needs=("inputs", "unseen"),
        ),
        Figure("map_stable", "mAP, stable sort", _map_stable, "higher"),
        Figure("map_at_k", "mAP@{k}", _map_at_k, "higher", needs=("inputs", "k")),
        Figure("precision_at_k", "precision@{k}", _precision_at_k, "higher", needs=("inputs", "k")),
        Figure(
            "precision_within_radius",
            "precision within radius {radius}",
            _precision_within_radius,
            "higher",
        ),
        Figure(
            "quantization_error",
            "quantization error",
            _quantization_error,
            "lower",
            needs=("continuous",),
        ),
        Figure("bit_balance", "bit balance", _of_bits(bit_balance), "lower", needs=()),
        Figure("bit_correlation", "bit correlation", _of_bits(bit_correlation), "lower", needs=()),
        Figure("code_entropy", "code entropy, bits", _of_codes(code_entropy), digits=2, needs=()),
        Figure("unique_codes", "distinct codes", _of_codes(unique_codes), digits=0, needs=()),
        *(
            Figure(
                f"neighbour_recall_at_{within}",
                f"neighbour recall@{within}",
                _neighbours_within(within),
                "higher",
                needs=("vectors",),
            )
            for within in NEIGHBOURS_WITHIN
        ),
        Figure(
            f"neighbour_recall_at_{NEIGHBOURS}_reranked",
            f"neighbour recall@{NEIGHBOURS}, reranked",
            _reranked,
            "higher",
            needs=("vectors", "query_continuous"),
        ),
    )
}
