"""What the best settings find, as pictures."""

import numpy as np

from keras_hashing.files.picture_sheet import PictureSheet
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Cell, name_of
from training.data import ImageDataset
from training.data.loading import load_data
from training.pictures.gallery import HOW_TO_READ, Gallery
from training.pictures.nearest import FOUND, Nearest

_QUERIES, _WORST = 6, 3  # shown of a cell, at most


def add_galleries(sheet: PictureSheet, results: ComparisonResults, cells: list[Cell]) -> None:
    """Adds what some queries found by each cell; nothing where there are no images.

    Of a run of an earlier version it is not known.
    """
    nearest = {cell: one for cell in cells if (one := _nearest(results, cell)) is not None}
    if not nearest or results.place.dataset == "vectors":
        return
    try:
        dataset = load_data(results.place, warn=False)
        changed = dataset.digest != results.settings["data"]["digest"]
        problem = "the data has changed since the comparison began" if changed else ""
    except (OSError, ValueError) as error:
        problem = f"{error}. Say where the images are now by `compare report --data-dir`"
    if problem:
        sheet.section("What the best settings find", f"The pictures are left out: {problem}.")
        return
    assert isinstance(dataset, ImageDataset)  # with vectors it has returned
    for number, (cell, (seed, found)) in enumerate(nearest.items()):
        gallery = Gallery(dataset, found)
        title = f"What {name_of(cell)} finds"
        about = f"{cell[2]} bits, seed {seed}: queries and their {FOUND} nearest."
        if number == 0 and gallery.labelled:
            about += f" {HOW_TO_READ}"
        sheet.section(title, about)
        sheet.rows(gallery.of_classes(_QUERIES))
        if gallery.labelled and (worst := gallery.worst(_WORST)):
            sheet.paragraph(
                f"Of {len(found.queries):,} queries, those with the fewest hits among the {FOUND} "
                "nearest:"
            )
            sheet.rows(worst)


def best_cells(results: ComparisonResults, first: Cell, most: int = 3) -> list[Cell]:
    """A cell, and the best ones of other methods at its length."""
    values = results.values(results.main)
    means = {cell: np.mean(list(one.values())) for cell, one in values.items()}
    best = {first[0]: first}
    for cell in sorted((cell for cell in means if cell[2] == first[2]), key=lambda c: -means[c]):
        best.setdefault(cell[0], cell)
    return list(best.values())[:most]


def _nearest(results: ComparisonResults, cell: Cell) -> tuple[int, Nearest] | None:
    """Of the first seed, and this."""
    for seed, arrays in results.arrays(cell).items():
        if "queries" in arrays:
            return seed, Nearest(*(arrays[name] for name in ("queries", "found", "distances")))
    return None
