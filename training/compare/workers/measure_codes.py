"""What is measured of a run, from its codes: the same on frozen features and after fine-tuning."""

from typing import Any

import numpy as np

from keras_hashing import retrieval
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.data.rows import Rows
from training.data.split import Split
from training.pictures.nearest import Nearest

HISTOGRAM_EDGES = np.linspace(-4, 4, 81)
_SHOWN = 200  # queries that the report may show, and the first of each class


def line_of(
    figures: dict[str, Any], losses: dict[str, float], seconds: dict[str, float]
) -> dict[str, Any]:
    """What the line of a run says of its figures, its last losses and its time."""
    return {
        **figures,
        "loss": losses["loss"],
        "similarity_loss": losses["similarity_loss"],
        "quantization_loss": losses.get("quantization_loss"),
        "seconds": {part: round(value, 3) for part, value in seconds.items()},
    }


def measure_codes(
    run: GridRun,
    recipe: Recipe,
    labels: np.ndarray,
    split: Split,
    query: np.ndarray,
    database: np.ndarray,
    vectors: Any = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measures retrieval and the codes themselves.

    Args:
        run: What was trained; in the tuning `map` is the mean of both directions.
        recipe: Cut and radius; each is lowered to what the data and the code have.
        labels: One-hot or multi-hot labels of all images, [N, C].
        query: Continuous codes of the query, float32 [Q, bits].
        database: Continuous codes of the database, float32 [M, bits].
        vectors: The vectors whose neighbours the codes should keep, [N, D]; None for none.

    Returns:
        The figures for the run's line of results, and the arrays for its companion file.

    Raises:
        ValueError: when a code is not finite.
    """
    packed = retrieval.pack_codes(query), retrieval.pack_codes(database)
    truth = labels[split.query], labels[split.database]
    sides = packed[0], truth[0], packed[1], truth[1]
    k = min(recipe.k, len(database))
    found = retrieval.evaluate_retrieval(
        *sides,
        k=k,
        radius=min(recipe.radius, run.bits),
        continuous=database,
        query_vectors=None if vectors is None else Rows(vectors, split.query),
        database_vectors=None if vectors is None else Rows(vectors, split.database),
        unseen_queries=split.unseen_queries(labels),
    )
    assert found.curve is not None  # there are labels
    figures: dict[str, Any] = {
        **found.values,
        "k": k,
        "radius": found.radius,
        "queries": len(query),
        "train": len(split.train),
        "database": len(database),
    }
    if run.stage == "tuning":
        # Both held-out parts search in each other: twice the queries for the choice.
        back = retrieval.mean_average_precision(packed[1], truth[1], packed[0], truth[0])
        figures["map"] = (found.map + back) / 2
    nearest = Nearest.of(*packed, split, labels, _SHOWN)
    inside = np.clip(database, HISTOGRAM_EDGES[0], HISTOGRAM_EDGES[-1])
    signs = np.where(database > 0, 1.0, -1.0).astype(np.float32)
    centred = signs - signs.mean(axis=0)
    spread = centred.std(axis=0)
    spread[spread == 0] = np.inf  # a constant bit has no correlation
    arrays = {
        "precision": found.curve.precision.astype(np.float32),
        "recall": found.curve.recall.astype(np.float32),
        "histogram": np.histogram(inside, HISTOGRAM_EDGES)[0].astype(np.int64),
        "histogram_edges": HISTOGRAM_EDGES,
        "queries": nearest.queries.astype(np.int32),
        "found": nearest.found.astype(np.int32),
        "distances": nearest.distances.astype(np.int16),
        "bit_mean": signs.mean(axis=0),
        "bit_correlation": (centred.T @ centred / len(signs) / np.outer(spread, spread)).astype(
            np.float16
        ),
    }
    return figures, arrays
