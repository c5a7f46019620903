"""The report of a run: queries and what they found, as pictures, and what the codes are like."""

from pathlib import Path

from keras_hashing.files.atomic_write import write_text
from keras_hashing.files.picture_sheet import MOST_BYTES, PictureSheet
from training.data import ImageDataset
from training.pictures.gallery import HOW_TO_READ, Gallery
from training.pictures.nearest import CLASSES, FOUND, Nearest
from training.run_report.drawings import drawings
from training.runs.run_data import RunData
from training.trainer.evaluate import Evaluation

_WORST = 6  # queries shown
_SEARCHED = 1000  # queries that the worst are looked for among
_FOR_DRAWINGS = 500_000  # bytes


def write_report(
    path: Path, title: str, facts: dict[str, str], evaluation: Evaluation, data: RunData
) -> None:
    """Writes a report as one HTML file.

    Args:
        facts: Names and values to begin with.

    Raises:
        OSError: when it cannot be written.
    """
    dataset, split, labels = data.dataset, data.split, data.dataset.labels
    sheet = PictureSheet(
        title,
        HOW_TO_READ
        if dataset.class_names
        else "The data has no labels, so no one knows what is a hit.",
        MOST_BYTES - _FOR_DRAWINGS,
    )
    sheet.facts(facts)
    if isinstance(dataset, ImageDataset):  # of vectors there are no pictures
        codes = evaluation.query_codes, evaluation.database_codes
        nearest = Nearest.of(*codes, split, labels, _SEARCHED)
        _add_pictures(sheet, Gallery(dataset, nearest), len(nearest.queries))
    sheet.section("Distances and bits")
    for png, caption in drawings(evaluation, labels[split.query], labels[split.database]):
        sheet.figure(png, caption)
    write_text(path, sheet.html())


def _add_pictures(sheet: PictureSheet, gallery: Gallery, queries: int) -> None:
    if not gallery.labelled:
        sheet.section(f"Queries and their {FOUND} nearest")
        sheet.rows(gallery.of_classes(CLASSES))
        return
    sheet.section(f"Queries of each class and their {FOUND} nearest")
    sheet.rows(gallery.of_classes(CLASSES))
    worst = gallery.worst(_WORST)
    sheet.section(
        "The worst queries",
        f"Of {queries:,} queries, those with the fewest hits among the {FOUND} nearest."
        if worst
        else f"None: the {FOUND} nearest of each of {queries:,} queries are hits.",
    )
    sheet.rows(worst)
