"""The drawings of a run's report."""

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from keras_hashing.retrieval import unpack_codes
from keras_hashing.retrieval.distance_histogram import distance_histogram
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs
from training.pictures.drawing_style import BLUE, GREY, ORANGE, STYLE, as_png
from training.trainer.evaluate import Evaluation

_ROWS = 20_000  # codes that the statistics of bits are taken from


def drawings(
    evaluation: Evaluation, query_labels: np.ndarray, database_labels: np.ndarray
) -> Iterator[tuple[bytes, str]]:
    """PNG files with their captions, in the order in which a reader wants them.

    Args:
        query_labels: One-hot or multi-hot labels of the queries, [Q, C]; C is 0 without labels.
        database_labels: Those of the database, [N, C].
    """
    if query_labels.shape[1]:
        yield _drawn(
            lambda axes: _distances(axes, evaluation, query_labels, database_labels),
            "Hamming distances of queries to similar and dissimilar database images, each summing "
            "to 1. The less they overlap, the better a distance tells them apart.",
        )
        yield _drawn(
            lambda axes: _precision_recall(axes, evaluation.figures["precision_recall_curve"]),
            "Precision and recall within each Hamming radius, means over the queries.",
        )
    yield _drawn(
        lambda axes: _continuous(axes, evaluation.continuous_sample),
        "The continuous codes before their signs are taken. Values near 0 are those whose bits "
        "are least certain.",
    )
    bits = unpack_codes(_some(evaluation.database_codes), evaluation.figures["bits"])
    yield _drawn(
        lambda axes: _balance(axes, bits),
        "The share of database codes in which each bit is 1. A bit near 0 or 1 tells little.",
    )
    if bits.shape[1] > 1:
        yield _drawn(
            lambda axes: _correlation(axes, bits),
            "The absolute correlation of each two bits; 0 in the diagonal. Bits that say the same "
            "are dark.",
        )


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[:: max(1, len(rows) // _ROWS)]


def _drawn(draw: Callable[[Any], None], caption: str) -> tuple[bytes, str]:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.2))
        draw(axes)
        return as_png(figure), caption


def _distances(
    axes: Any, evaluation: Evaluation, query_labels: np.ndarray, database_labels: np.ndarray
) -> None:
    counts = distance_histogram(
        RetrievalInputs.check(
            evaluation.query_codes, query_labels, evaluation.database_codes, database_labels
        )
    )
    bits = evaluation.figures["bits"]
    similar = counts.relevant.sum(axis=0)
    dissimilar = counts.items.sum(axis=0) - similar
    for pairs, name, colour in ((similar, "similar", BLUE), (dissimilar, "dissimilar", ORANGE)):
        share = pairs[: bits + 1] / max(pairs.sum(), 1)
        axes.step(range(bits + 1), share, where="mid", color=colour, label=name)
        axes.fill_between(range(bits + 1), share, step="mid", color=colour, alpha=0.25)
    axes.set(xlabel="Hamming distance", ylabel="share of the pairs", ylim=(0, None))
    axes.legend()


def _precision_recall(axes: Any, curve: dict[str, list[float]]) -> None:
    axes.plot(curve["radius"], curve["precision"], color=BLUE, label="precision")
    axes.plot(curve["radius"], curve["recall"], color=ORANGE, label="recall")
    axes.set(xlabel="Hamming radius", ylim=(0, 1.02))
    axes.legend()


def _continuous(axes: Any, sample: np.ndarray) -> None:
    low, high = np.percentile(sample, (0.1, 99.9))
    widest = max(1.2, abs(low), abs(high))
    axes.hist(sample.ravel(), bins=np.linspace(-widest, widest, 101), density=True, color=BLUE)
    for sign in (-1, 1):
        axes.axvline(sign, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="continuous code", ylabel="density")


def _balance(axes: Any, bits: np.ndarray) -> None:
    axes.bar(range(bits.shape[1]), (bits > 0).mean(axis=0), width=0.9, color=BLUE)
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="bit", ylabel="share of 1", ylim=(0, 1))
    axes.grid(axis="x", visible=False)


def _correlation(axes: Any, bits: np.ndarray) -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.abs(np.nan_to_num(np.corrcoef(bits.astype(np.float32), rowvar=False)))
    np.fill_diagonal(matrix, 0)
    shown = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.figure.colorbar(shown)
    axes.set(xlabel="bit", ylabel="bit")
    axes.grid(visible=False)
