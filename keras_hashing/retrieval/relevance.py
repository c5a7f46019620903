"""Relevance: an item is relevant to a query when they share a label."""

import numpy as np
from numpy.typing import NDArray

from keras_hashing.retrieval.bit_words import Words, bit_words

ROWS = 4096  # of labels checked and packed at a time


def label_words(name: str, labels: NDArray) -> Words:
    """Returns one-hot or multi-hot labels [n, C] as words of bits [words, n].

    Raises:
        ValueError: if a value is neither 0 nor 1 (NaN and infinity included).
    """
    packed = np.empty((len(labels), -(-labels.shape[1] // 8)), dtype=np.uint8)
    for start in range(0, len(labels), ROWS):
        block = labels[start : start + ROWS]
        present = block == 1
        invalid = ~(present | (block == 0))
        if invalid.any():
            row, column = np.argwhere(invalid)[0]
            raise ValueError(
                f"`{name}` must be one-hot or multi-hot: every value 0 or 1. "
                f"Received: {block[row, column]!r} at position ({start + row}, {column})"
            )
        packed[start : start + ROWS] = np.packbits(present, axis=1)
    return bit_words(packed)


class RelevanceKernel:
    """Relevance of a tile of the database to one query, in memory allocated once.

    Args:
        tile: the largest number of items in a tile.
        word: the dtype of the label words.
    """

    def __init__(self, tile: int, word: np.dtype) -> None:
        self._shared = np.empty(tile, dtype=word)
        self._here = np.empty(tile, dtype=bool)
        self._relevant = np.empty(tile, dtype=bool)

    def relevant(self, query: Words, database: Words) -> NDArray[np.bool_]:
        """Returns which items of `database` [words, n] share a label with `query` [words].

        The result, bool [n], is overwritten by the next call. Only the words in which the query
        has a label are read: one word for a one-hot query, however many classes there are.
        """
        items = database.shape[1]
        shared, here, relevant = self._shared[:items], self._here[:items], self._relevant[:items]
        relevant.fill(False)
        for word in np.flatnonzero(query):
            np.bitwise_and(database[word], query[word], out=shared)
            np.not_equal(shared, 0, out=here)
            np.logical_or(relevant, here, out=relevant)
        return relevant
