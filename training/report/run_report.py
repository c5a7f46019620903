"""The report of a run: queries and what they found, as pictures, and what the codes are like."""

from pathlib import Path

import numpy as np

from keras_hashing.files.atomic_write import write_text
from keras_hashing.files.picture_sheet import MOST_BYTES, PictureSheet, Shown
from keras_hashing.retrieval import CodeIndex
from training.data import ImageDataset
from training.report.drawings import drawings
from training.runs.run_data import RunData
from training.trainer.evaluate import Evaluation

_FOUND = 10  # nearest images of each query
_CLASSES, _WORST = 12, 6  # queries shown
_SEARCHED = 1000  # queries that the worst are looked for among
_FOR_DRAWINGS = 500_000  # bytes


def write_report(
    path: Path, title: str, facts: dict[str, str], evaluation: Evaluation, data: RunData
) -> None:
    """Writes a report as one HTML file.

    Args:
        path: The file.
        title: Its heading.
        facts: Names and values to begin with.
        evaluation: What was measured.
        data: The data that it was measured on.

    Raises:
        OSError: when it cannot be written.
    """
    dataset, split = data.dataset, data.split
    sheet = PictureSheet(
        title,
        "A hit shares a label with the query and has a whole green frame, a miss a dashed red one."
        if dataset.class_names
        else "The data has no labels, so no one knows what is a hit.",
        MOST_BYTES - _FOR_DRAWINGS,
    )
    sheet.facts(facts)
    if isinstance(dataset, ImageDataset):  # of vectors there are no pictures
        _add_pictures(sheet, _Found(evaluation, data))
    sheet.section("Distances and bits")
    labels = dataset.labels
    for png, caption in drawings(evaluation, labels[split.query], labels[split.database]):
        sheet.figure(png, caption)
    write_text(path, sheet.html())


def _add_pictures(sheet: PictureSheet, found: "_Found") -> None:
    if not found.labelled:
        sheet.section(f"Queries and their {_FOUND} nearest")
        sheet.rows(found.rows(found.some(_CLASSES)))
        return
    sheet.section(f"Queries of each class and their {_FOUND} nearest")
    sheet.rows(found.rows(found.first_of_classes()))
    looked_at = found.some(_SEARCHED)
    worst = found.worst(looked_at)
    sheet.section(
        "The worst queries",
        f"Of {len(looked_at):,} queries, those with the fewest hits among the {_FOUND} nearest."
        if len(worst)
        else f"None: the {_FOUND} nearest of each of {len(looked_at):,} queries are hits.",
    )
    sheet.rows(found.rows(worst))


class _Found:
    """The nearest of some queries, which are counted by their places in the split."""

    def __init__(self, evaluation: Evaluation, data: RunData) -> None:
        self._dataset, self._split = data.dataset, data.split
        self._codes = evaluation.query_codes
        # Ids are not asked for: a position is enough.
        self._index = CodeIndex(evaluation.database_codes, np.arange(len(data.split.database)), "-")
        self.labelled = bool(data.dataset.class_names)

    def some(self, most: int) -> np.ndarray:
        """At most so many queries, spread evenly."""
        return _spread(len(self._split.query), most)

    def first_of_classes(self) -> np.ndarray:
        """The first query of each class, or of classes spread evenly."""
        labels = self._dataset.labels[self._split.query]
        having = np.flatnonzero(labels.any(axis=0))
        classes = having[_spread(len(having), _CLASSES)]
        firsts = [int(labels[:, column].argmax()) for column in classes]
        return np.array(list(dict.fromkeys(firsts)), dtype=int)

    def worst(self, queries: np.ndarray) -> np.ndarray:
        """Those of some queries with the fewest hits, and a miss; of equal ones the first."""
        positions, _ = self._index.search(self._codes[queries], k=_FOUND)
        hits = np.array(
            [self._relevant(*one).sum() for one in zip(queries, positions, strict=True)]
        )
        order = np.argsort(hits, kind="stable")
        return queries[order[hits[order] < positions.shape[1]][:_WORST]]

    def rows(self, queries: np.ndarray) -> list[tuple[Shown, list[Shown]]]:
        """The pictures of queries, and of what they found."""
        positions, distances = self._index.search(self._codes[queries], k=_FOUND)
        return [
            (
                _shown(self._dataset, int(self._split.query[query])),
                [
                    _shown(self._dataset, int(self._split.database[at]), int(distance), relevant)
                    for at, distance, relevant in zip(
                        near, far, self._relevant(query, near), strict=True
                    )
                ],
            )
            for query, near, far in zip(queries, positions, distances, strict=True)
        ]

    def _relevant(self, query: int, near: np.ndarray) -> np.ndarray:
        labels = self._dataset.labels
        shared = labels[self._split.database[near]] * labels[self._split.query[query]]
        return shared.any(axis=1)


def _spread(count: int, most: int) -> np.ndarray:
    """Positions 0 to count - 1, or `most` of them spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most), dtype=int))


def _shown(
    dataset: ImageDataset, position: int, distance: int | None = None, relevant: bool | None = None
) -> Shown:
    names = dataset.names_of(position)
    bits = None if distance is None else f"{distance} bit" + "s" * (distance != 1)
    try:
        content, _ = dataset.images.encoded_image(position)
    except OSError:
        content = None
    return Shown(
        dataset.ids[position],
        ", ".join(filter(None, (names, bits))),
        content,
        relevant if dataset.class_names else None,
    )
