"""What `query` and `index duplicates` found, as sheets of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.page.pictures import Pictures
from keras_hashing.files.atomic_write import write_text
from keras_hashing.files.picture_sheet import PictureSheet, Shown
from keras_hashing.retrieval import CodeIndex, hamming_distance

_OTHERS = 40  # of a cluster that are shown


def write_query_sheet(
    path: Path, answers: Sequence[dict[str, Any]], pictures: Pictures, searched: str
) -> None:
    """Writes a row for each query.

    Args:
        path: the HTML file.
        answers: what `query` prints of each image: its name, and its neighbours.
        pictures: those of the neighbours, by their ids.
        searched: what was searched in.

    Raises:
        OSError: if it cannot be written.
    """
    rows = []
    for answer in answers:
        query = Path(answer["image"])
        found = [
            Shown(str(one["id"]), _note(one), _content(pictures, str(one["id"])))
            for one in answer["neighbours"]
        ]
        rows.append((Shown(query.name, "", query.read_bytes()), found))
    sheet = PictureSheet(
        "What was found", f"Each picture on the left was searched for in {searched}; nearest first."
    )
    sheet.rows(rows)
    write_text(path, sheet.html())


def write_cluster_sheet(
    path: Path, index: CodeIndex, clusters: Sequence[NDArray[np.int64]], pictures: Pictures
) -> None:
    """Writes a row for each of the largest clusters: its first item, and those that it repeats.

    Args:
        path: the HTML file.
        index: the index that has the clusters.
        clusters: positions of the items of each, the largest first.
        pictures: those of the items, by their ids.

    Raises:
        OSError: if it cannot be written.
    """
    sheet = PictureSheet(
        "Near-duplicates",
        f"{len(clusters):,} clusters, the largest first. On the left the first of each, as the "
        "index orders them; the bits that the others' codes differ in are counted from it.",
    )

    def shown(position: int, note: str) -> Shown:
        name = index.ids[position]
        return Shown(name, note, _content(pictures, name))

    for number, cluster in enumerate(clusters):
        first, *others = cluster.tolist()
        distances = hamming_distance(index.codes[[first]], index.codes[others[:_OTHERS]])[0]
        notes = (_note({"distance": int(distance)}) for distance in distances)
        found = [shown(*pair) for pair in zip(others[:_OTHERS], notes, strict=True)]
        more = f"{len(cluster):,} items" + ", the first of them" * (len(others) > _OTHERS)
        if not sheet.row(shown(first, more), found):
            sheet.section(f"{len(clusters) - number:,} more clusters", "They do not fit into 5 MB.")
            break
    write_text(path, sheet.html())


def _note(found: dict[str, Any]) -> str:
    bits = f"{found['distance']} bit" + "s" * (found["distance"] != 1)
    return f"{found['label']}, {bits}" if found.get("label") else bits


def _content(pictures: Pictures, name: str) -> bytes | None:
    try:
        return pictures.content(name)
    except OSError:
        return None
