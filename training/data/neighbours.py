"""The nearest rows of each row, as the second view of a method that compares two."""

from typing import Any

import numpy as np

from keras_hashing.command_line.progress import loading_progress

MOST_ROWS = 200_000  # every row is compared with every other
_BLOCK = 512  # rows at a time


def nearest_rows(features: Any, count: int) -> np.ndarray:
    """The positions of the rows of largest cosine with each row, but for itself.

    Args:
        features: [n, D], with rows by slices; n is at most `MOST_ROWS`.
        count: How many, from 1 to n - 1.

    Returns:
        int32 [n, count], in no order.

    Raises:
        ValueError: when there are too many rows, or too few for `count`.
    """
    rows = len(features)
    if not count < rows <= MOST_ROWS:
        raise ValueError(
            f"`view_neighbours` needs more training items than neighbours, and at most "
            f"{MOST_ROWS:,}. Received: {rows:,} items, view_neighbours={count}"
        )
    directions = np.asarray(features[:], dtype=np.float32)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.maximum(lengths, np.finfo(np.float32).tiny)
    nearest = np.empty((rows, count), dtype=np.int32)
    with loading_progress("Finding neighbours", rows) as advance:
        for start in range(0, rows, _BLOCK):
            block = directions[start : start + _BLOCK]
            cosines = block @ directions.T
            cosines[np.arange(len(block)), start + np.arange(len(block))] = -2  # itself
            nearest[start : start + _BLOCK] = np.argpartition(-cosines, count - 1)[:, :count]
            advance(len(block))
    return nearest
