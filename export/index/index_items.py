"""The images that an index is made of: a folder, a list file or a data set."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from training.data import ImageDataset

IdFrom = Literal["path", "stem"]

_LINE = re.compile(r"(\S.*?)((?:\s+[01])*)\s*")  # a path, which may hold spaces, and labels


@dataclass(frozen=True)
class IndexItems:
    """Encoded images by position, with their names.

    Attributes:
        ids: the name of each image, n different strings.
        labels: what to show as the label of each, n strings, or `None`.
        read: gives the content of the image file at a position; raises `OSError` if it cannot.

    Raises:
        ValueError: if there is no image, or ids repeat; they are named.
    """

    ids: Sequence[str]
    labels: Sequence[str] | None
    read: Callable[[int], bytes]

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError("There is no image to encode")
        repeated = [name for name, count in Counter(self.ids).most_common(3) if count > 1]
        if repeated:
            raise ValueError(f"Ids must differ. Several images have the id: {', '.join(repeated)}")

    def __len__(self) -> int:
        return len(self.ids)


def folder_items(folder: Path, id_from: IdFrom = "path") -> IndexItems:
    """Returns all files in a folder and its subfolders, in order; hidden ones are left out.

    Args:
        folder: the folder.
        id_from: "path" for ids such as "cats/17.jpg", relative to the folder with forward slashes;
            "stem" for the name without folder and suffix, such as "17".

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no file, or ids repeat.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}")
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [name for name in names if not name.startswith(".")]
        paths += [Path(parent, name).relative_to(folder) for name in shown]
    if not paths:
        raise ValueError(f"The folder {str(folder)!r} holds no file")
    return _file_items(folder, sorted(paths), None, id_from)


def list_items(
    file: Path,
    root: Path | None = None,
    class_names: Sequence[str] = (),
    id_from: IdFrom = "path",
) -> IndexItems:
    """Returns the images that a list file names, as HashNet introduced them.

    One line an image: its path and, if there are labels, a 0 or 1 for each class, as in
    `images/cat.jpg 0 1 0`. Paths may hold spaces; empty lines are left out.

    Args:
        file: the list, UTF-8.
        root: what relative paths start from; the folder of the list if `None`.
        class_names: what to show as labels, if there is one for each column; else the columns'
            numbers, counted from 0, are shown.
        id_from: "path" for ids as the list has them, "stem" for names without folder and suffix.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line has another number of labels than the first (it is named), the list
            is empty or no UTF-8, or ids repeat.
    """
    if not file.is_file():
        raise FileNotFoundError(f"There is no list {str(file)!r}")
    rows: list[tuple[Path, list[str]]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        match = _LINE.fullmatch(line.lstrip())
        if not match:
            continue
        rows.append((Path(match[1]), match[2].split()))
        if len(rows[-1][1]) != len(rows[0][1]):
            raise ValueError(
                f"Line {number} of {str(file)!r} must have the {len(rows[0][1])} labels of the "
                f"first line, each 0 or 1. Received: {len(rows[-1][1])} of them"
            )
    if not rows:
        raise ValueError(f"The list {str(file)!r} names no image")
    columns = len(rows[0][1])
    names = class_names if len(class_names) == columns else [str(at) for at in range(columns)]
    labels = [_label(names, list(map(int, row))) for _, row in rows]
    paths = [path for path, _ in rows]
    return _file_items(
        file.parent if root is None else root, paths, labels if columns else None, id_from
    )


def dataset_items(dataset: "ImageDataset", part: str | None = None) -> IndexItems:
    """Returns the images of a data set, with the names of their classes.

    Args:
        dataset: as `training.data.load_dataset` gives it.
        part: the part wanted, such as "test"; `None` for all.

    Raises:
        ValueError: if there is no such part; those there are are named.
    """
    parts = dict.fromkeys(dataset.part.tolist())
    if part is not None and part not in parts:
        raise ValueError(
            f"Data set {dataset.name!r} has the parts {', '.join(parts)}. Received: {part}"
        )
    positions = [at for at, of in enumerate(dataset.part.tolist()) if part in (None, of)]
    return IndexItems(
        ids=[dataset.ids[at] for at in positions],
        labels=[_label(dataset.class_names, dataset.labels[at].tolist()) for at in positions],
        read=lambda at: dataset.images.encoded_image(positions[at])[0],
    )


def _label(names: Sequence[str], row: Sequence[int]) -> str:
    """The names of the classes that a row of 0 and 1 has, such as "cat, dog"."""
    return ", ".join(name for name, has in zip(names, row, strict=True) if has)


def _file_items(
    root: Path, paths: list[Path], labels: list[str] | None, id_from: IdFrom
) -> IndexItems:
    ids = [path.stem if id_from == "stem" else path.as_posix() for path in paths]
    return IndexItems(ids, labels, read=lambda at: (root / paths[at]).read_bytes())
