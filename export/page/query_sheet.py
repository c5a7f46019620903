"""What `query` found, as a sheet of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.page.pictures import Pictures
from keras_hashing.files.atomic_write import write_text
from keras_hashing.files.picture_sheet import PictureSheet, Shown


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


def _note(found: dict[str, Any]) -> str:
    bits = f"{found['distance']} bit" + "s" * (found["distance"] != 1)
    return f"{found['label']}, {bits}" if found.get("label") else bits


def _content(pictures: Pictures, name: str) -> bytes | None:
    try:
        return pictures.content(name)
    except OSError:
        return None
