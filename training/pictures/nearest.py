"""The nearest of some queries. NumPy alone: workers that have no TensorFlow find them too."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from keras_hashing.retrieval import CodeIndex
from training.data.split import Split

FOUND = 10  # nearest of each query
CLASSES = 12  # of which queries are shown


@dataclass(frozen=True, eq=False)
class Nearest:
    """Some queries and what they found, as positions in a data set.

    Args:
        queries: int64 [q], ascending.
        found: Their nearest in the database, the nearest first, int64 [q, FOUND or fewer].
        distances: Hamming distances of these, int64 [q, FOUND or fewer].
    """

    queries: np.ndarray
    found: np.ndarray
    distances: np.ndarray

    @classmethod
    def of(
        cls,
        query_codes: np.ndarray,
        database_codes: np.ndarray,
        split: Split,
        labels: np.ndarray,
        most: int,
    ) -> Self:
        """Searches with at most `most` queries, spread evenly, and the first of each class.

        Args:
            query_codes: Packed codes of the split's queries, uint8 [Q, bits / 8].
            database_codes: Those of its database, uint8 [N, bits / 8].
            labels: One-hot or multi-hot labels of all items, [n, C]; C is 0 without labels.
            most: How many queries are spread.
        """
        firsts = first_of_classes(labels[split.query])
        asked = np.union1d(spread(len(split.query), most), firsts)
        # Ids are not asked for: a position is enough.
        index = CodeIndex(database_codes, np.arange(len(database_codes)), "-")
        found, distances = index.search(query_codes[asked], k=FOUND)
        return cls(split.query[asked], split.database[found], distances)


def first_of_classes(labels: np.ndarray) -> np.ndarray:
    """The first row of each class, or of `CLASSES` classes that are spread evenly."""
    having = np.flatnonzero(labels.any(axis=0))
    classes = having[spread(len(having), CLASSES)]
    return np.array(list(dict.fromkeys(int(labels[:, at].argmax()) for at in classes)), dtype=int)


def spread(count: int, most: int) -> np.ndarray:
    """Positions 0 to count - 1, or `most` of them spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most), dtype=int))
