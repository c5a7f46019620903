"""Which images of a data set are the query, which train, and which are the database."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in a data set, each int64, ascending and without repetition.

    Args:
        query: The images searched with, int64 [Q].
        train: The images trained on, int64 [T]; in the database or not, as the protocol says.
        database: The images searched in, int64 [N].

    Raises:
        ValueError: when one is empty or not ascending, or the query shares an image with another.
    """

    query: np.ndarray
    train: np.ndarray
    database: np.ndarray

    def __post_init__(self) -> None:
        for name in ("query", "train", "database"):
            positions = getattr(self, name)
            if len(positions) == 0:
                raise ValueError(f"The split leaves no image for `{name}`")
            if (np.diff(positions) <= 0).any():
                raise ValueError(f"`{name}` must be ascending, each position once")
        for name in ("train", "database"):
            shared = np.intersect1d(self.query, getattr(self, name))
            if len(shared):
                raise ValueError(
                    f"`query` and `{name}` must be disjoint. Received: {len(shared)} shared images"
                )

    def trained_classes(self, labels: np.ndarray) -> np.ndarray:
        """Which classes an image of `train` is of, bool [C]; `labels` as in `unseen_queries`."""
        return labels[self.train].any(axis=0)

    def unseen_queries(self, labels: np.ndarray) -> np.ndarray | None:
        """Which queries are of classes that no image of `train` is of; None without any.

        Args:
            labels: One-hot or multi-hot labels of all images, [N, C].

        Returns:
            Bool [Q]; False for queries without a label.
        """
        trained = self.trained_classes(labels)
        of_query = labels[self.query]
        unseen = of_query.any(axis=1) & ~of_query[:, trained].any(axis=1)
        return unseen if unseen.any() else None
