"""Queries and what they found, as pictures: hits and misses."""

import numpy as np

from keras_hashing.files.picture_sheet import Shown
from training.data import ImageDataset
from training.pictures.nearest import Nearest, first_of_classes, spread

HOW_TO_READ = (
    "A hit shares a label with the query and has a whole green frame, a miss a dashed red one."
)

Row = tuple[Shown, list[Shown]]


class Gallery:
    """Rows of pictures for a `PictureSheet`.

    Args:
        dataset: Images, ids and labels.
        nearest: The queries that may be shown, and what they found.
    """

    def __init__(self, dataset: ImageDataset, nearest: Nearest) -> None:
        self._dataset, self._nearest = dataset, nearest
        self.labelled = bool(dataset.class_names)
        shared = dataset.labels[nearest.found] * dataset.labels[nearest.queries][:, None]
        self._hits = shared.any(axis=2)

    def of_classes(self, most: int) -> list[Row]:
        """A query of each class, or of classes spread evenly; without labels any queries."""
        if not self.labelled:
            return self._rows(spread(len(self._nearest.queries), most))
        firsts = first_of_classes(self._dataset.labels[self._nearest.queries])
        return self._rows(firsts[spread(len(firsts), most)])

    def worst(self, most: int) -> list[Row]:
        """The queries with the fewest hits, and a miss; of equal ones the first."""
        counts = self._hits.sum(axis=1)
        order = np.argsort(counts, kind="stable")
        return self._rows(order[counts[order] < self._hits.shape[1]][:most])

    def _rows(self, queries: np.ndarray) -> list[Row]:
        nearest = self._nearest
        return [
            (
                self._shown(nearest.queries[at]),
                list(map(self._shown, nearest.found[at], nearest.distances[at], self._hits[at])),
            )
            for at in queries
        ]

    def _shown(self, position: int, distance: int | None = None, hit: bool | None = None) -> Shown:
        dataset, position = self._dataset, int(position)
        bits = None if distance is None else f"{distance} bit{'' if distance == 1 else 's'}"
        try:
            content, _ = dataset.images.encoded_image(position)
        except OSError:
            content = None
        return Shown(
            dataset.ids[position],
            ", ".join(filter(None, (dataset.names_of(position), bits))),
            content,
            None if hit is None or not self.labelled else bool(hit),
        )
