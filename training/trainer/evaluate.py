"""All figures of a model on a split."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_hashing import retrieval
from keras_hashing.models import HashingModel
from training.data import ImageDataset, VectorDataset
from training.data.pipeline import evaluation_batches, evaluation_feature_batches
from training.data.protocols import Split
from training.data.rows import Rows

_BATCH = 256
_SAMPLE = 10_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found.

    Args:
        figures: The content of `metrics.json` that the model and the split decide.
        query_codes: packed codes, uint8 [Q, bits / 8].
        database_codes: packed codes, uint8 [N, bits / 8].
        continuous_sample: continuous codes of some of the database, [n, bits].
    """

    figures: dict[str, Any]
    query_codes: np.ndarray
    database_codes: np.ndarray
    continuous_sample: np.ndarray


def evaluate_model(
    model: HashingModel,
    dataset: ImageDataset | VectorDataset,
    split: Split,
    preprocessing: Any,
    k: int | None = None,
    radius: int = 2,
    verbose: int = 0,
    vectors: Any = None,
) -> Evaluation:
    """Encodes query and database by a model and measures retrieval and the codes themselves.

    The arguments that are not named here are those of `evaluate`.

    Args:
        preprocessing: Size and channels of the images wanted; not used for vectors.
        verbose: 1 shows a progress bar while images are encoded.

    Raises:
        ValueError: when codes are not finite, or `k` or `radius` does not fit.
    """

    def encode(indices: np.ndarray) -> np.ndarray:
        if isinstance(dataset, VectorDataset):
            batches = evaluation_feature_batches(dataset.vectors, dataset.labels, indices, _BATCH)
        else:
            batches = evaluation_batches(dataset, indices, preprocessing, _BATCH)
        return model.encoder.predict(batches.map(lambda images, _: images), verbose=verbose)

    return evaluate(encode, dataset.labels, split, k, radius, vectors)


def evaluate(
    encode: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    split: Split,
    k: int | None = None,
    radius: int = 2,
    vectors: Any = None,
) -> Evaluation:
    """As `evaluate_model`, by any encoder.

    Args:
        encode: Gives the continuous codes [m, bits] of the images at positions, int64 [m].
        labels: One-hot or multi-hot labels of all images, [N, C].
        split: Query and database; where no image of some queries' classes is in `train`, their mAP
            is given beside that of all, as `map_of_unseen_classes`.
        k: Cut of mAP@k and precision@k; None leaves both out.
        radius: Hamming radius of the precision within a radius.
        vectors: The vectors of all images whose neighbours the codes should keep, [N, D].

    Raises:
        ValueError: when codes are not finite, or `k` or `radius` does not fit.
    """
    started = time.perf_counter()
    query, database = encode(split.query), encode(split.database)
    query_codes, database_codes = retrieval.pack_codes(query), retrieval.pack_codes(database)
    unseen = split.unseen_queries(labels)
    found = retrieval.evaluate_retrieval(
        query_codes,
        labels[split.query],
        database_codes,
        labels[split.database],
        k=k,
        radius=radius,
        continuous=database,
        query_vectors=None if vectors is None else Rows(vectors, split.query),
        database_vectors=None if vectors is None else Rows(vectors, split.database),
        query_continuous=query,
        unseen_queries=unseen,
    )
    figures = {
        "bits": database.shape[1],
        "k": found.k,
        "radius": found.radius,
        **found.values,
        "queries": len(split.query),
        "database": len(split.database),
        **({} if found.curve is None else {"precision_recall_curve": _as_lists(found.curve)}),
        "evaluation_seconds": round(time.perf_counter() - started, 3),
    }
    if unseen is not None:
        figures["queries_of_unseen_classes"] = int(unseen.sum())
    sample = database[:: max(1, len(database) // _SAMPLE)].copy()
    return Evaluation(figures, query_codes, database_codes, sample)


def _as_lists(curve: retrieval.PrecisionRecallCurve) -> dict[str, list[float]]:
    return {name: getattr(curve, name).tolist() for name in ("radius", "precision", "recall")}
