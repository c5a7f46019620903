"""HashNet's list files: the form in which the field hands on multi-label data sets.

A folder holds three lists, `test.txt` (the query), `train.txt` and `database.txt`, with one line an
image: its path, then a 0 or 1 for each class, as in `images/17.jpg 0 1 0 1`. An image may be in
both `train.txt` and `database.txt`. The first of these came with HashNet (Cao, Long, Wang, Yu,
ICCV 2017): https://github.com/thuml/HashNet; the three names are those of thulab/DeepHash and
swuxyj/DeepHash-pytorch.
"""

import os
import posixpath
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_hashing.files.image_folder import existing_folder
from keras_hashing.files.list_lines import list_lines, text_lines
from training.data.image_dataset import ImageDataset
from training.data.sources.image_files import ImageFiles
from training.data.sources.image_probe import (
    OnBadImage,
    check_on_bad_image,
    common_shape,
    probe_images,
    report_bad_images,
)
from training.data.split import Split

LIST_NAMES = {"database": "database.txt", "train": "train.txt", "query": "test.txt"}
CLASSES_NAME = "classes.txt"


class _List(NamedTuple):
    """The images of one list: id, row of labels such as "0101", and number of the line, each."""

    file: Path
    ids: list[str]
    rows: list[str]
    lines: list[int]

    def place(self, entry: int) -> str:
        """Where an entry stands, such as "lists/train.txt:17"."""
        return f"{self.file}:{self.lines[entry]}"


class _Merged(NamedTuple):
    """The different images of all lists, and which of them each list names."""

    ids: list[str]
    rows: list[str]
    places: list[str]
    positions: dict[str, np.ndarray]


def load_list_files(
    folder: str | os.PathLike[str],
    image_root: str | os.PathLike[str] | None = None,
    *,
    on_bad_image: OnBadImage = "error",
    warn: bool = True,
) -> ImageDataset:
    """Load the images that `test.txt`, `train.txt` and `database.txt` name, with that split.

    The form of a line is that of `list_lines`, with at least 2 labels. `classes.txt`, if there is
    one, names the classes, a line each; else their names are the numbers of the columns, from 0.

    An image's id is its path as listed, without "./" and the like and relative to `image_root`.
    Images are ordered as in the database list; those that only `train.txt` names follow, then the
    query. `part` is "query", "database", or "train" for those that are in no other list;
    `given_split` says all of it. Each image is decoded once, as in a folder of images.

    Args:
        folder: The folder that holds the lists.
        image_root: Where relative paths start; `folder` when None.
        on_bad_image: "error", or "skip" to leave missing and bad image files out of all lists, with
            a warning that names some.
        warn: Whether to warn of what is left out.

    Returns:
        The data set. Files are read again whenever they are used.

    Raises:
        FileNotFoundError: when the folder, a list or `image_root` does not exist.
        NotADirectoryError: when one of the two is a file.
        ValueError: on a line that breaks the form, labels of one image that differ, an image of the
            query that is in another list, bad images (unless skipped), or a `classes.txt` that
            does not fit. File and line are named.
    """
    check_on_bad_image(on_bad_image)
    folder = existing_folder(folder, "folder of lists")
    root = folder if image_root is None else existing_folder(image_root, "image root")
    merged = _merge(_read_lists(folder, root))
    class_names = _class_names(folder, columns=len(merged.rows[0]))
    probes = probe_images([root / image_id for image_id in merged.ids])

    bad = np.array([probe.problem is not None for probe in probes])
    skipped = {merged.ids[at]: str(probes[at].problem) for at in np.flatnonzero(bad)}
    if skipped:
        places = dict(zip(merged.ids, merged.places, strict=True))
        report_bad_images(
            {f"{places[image_id]}: {image_id}": why for image_id, why in skipped.items()},
            f"{len(probes)} images of the lists in {str(folder)!r}",
            on_bad_image,
            warn,
            hint=f" Relative paths start at the image root, here {str(root)!r}.",
        )
    kept = np.flatnonzero(~bad)
    new_positions = np.cumsum(~bad) - 1
    split = Split(**{name: new_positions[at[~bad[at]]] for name, at in merged.positions.items()})
    part = np.full(len(kept), "train", dtype="<U8")
    part[split.database] = "database"
    part[split.query] = "query"
    labels = np.frombuffer("".join(merged.rows).encode(), dtype=np.uint8) - ord("0")
    return ImageDataset(
        name="lists",
        images=ImageFiles([root / merged.ids[position] for position in kept]),
        labels=labels.reshape(len(merged.ids), -1)[kept],
        ids=[merged.ids[position] for position in kept],
        class_names=class_names,
        part=part,
        image_shape=common_shape([probe.shape for probe in probes if probe.shape is not None]),
        skipped=skipped,
        given_split=split,
    )


def list_line(path: str, labels: Sequence[int] | np.ndarray) -> str:
    """One line of a list, without its end: the path, then a 0 or 1 for each class."""
    return " ".join([path, *(str(int(label)) for label in labels)])


def _read_lists(folder: Path, root: Path) -> dict[str, _List]:
    missing = [name for name in LIST_NAMES.values() if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"The folder of lists {str(folder)!r} has no {', '.join(missing)}. It needs "
            "test.txt (the query), train.txt and database.txt"
        )
    lists: dict[str, _List] = {}
    columns, example = 0, ""
    for name, file_name in LIST_NAMES.items():
        lists[name] = read = _read_list(folder / file_name, root, columns, example)
        columns, example = len(read.rows[0]), example or read.place(0)
    return lists


def _read_list(file: Path, root: Path, columns: int, example: str) -> _List:
    """Read a list; `columns` is how many labels the line at `example` has, 0 for none read yet."""
    lines = list_lines(file, columns or None, example, least=2)
    return _List(
        file,
        [_image_id(line.path, root) for line in lines],
        [line.labels for line in lines],
        [line.number for line in lines],
    )


def _image_id(path: str, root: Path) -> str:
    path = posixpath.normpath(path)
    if path.startswith("/") and Path(path).is_relative_to(root.absolute()):
        return Path(path).relative_to(root.absolute()).as_posix()
    return path


def _merge(lists: dict[str, _List]) -> _Merged:
    """Number the different images: those of the database, of train alone, of the query."""
    found: dict[str, int] = {}
    owners: list[tuple[_List, int]] = []
    positions: dict[str, np.ndarray] = {}
    for name, read in lists.items():
        others, repeated = len(owners), 0
        of_list: dict[int, int] = {}
        for entry, (image_id, row) in enumerate(zip(read.ids, read.rows, strict=True)):
            at = found.setdefault(image_id, len(owners))
            if at == len(owners):
                owners.append((read, entry))
            first, first_entry = owners[at]
            if first.rows[first_entry] != row:
                raise ValueError(
                    f"{read.place(entry)} gives {image_id!r} other labels than "
                    f"{first.place(first_entry)}"
                )
            if name == "query" and at < others:
                raise ValueError(
                    f"{read.place(entry)} has {image_id!r} for the query, which is also in "
                    f"{first.place(first_entry)}: a query must be an image that was not trained on "
                    "and is not in the database"
                )
            repeated += at in of_list
            of_list[at] = entry
        if repeated:
            warnings.warn(
                f"{read.file} names {repeated} images more than once; each counts once",
                stacklevel=4,
            )
        positions[name] = np.array(sorted(of_list), dtype=np.int64)
    return _Merged(
        ids=list(found),
        rows=[read.rows[entry] for read, entry in owners],
        places=[read.place(entry) for read, entry in owners],
        positions=positions,
    )


def _class_names(folder: Path, columns: int) -> list[str]:
    file = folder / CLASSES_NAME
    if not file.exists():
        return [str(column) for column in range(columns)]
    names = [name for _, name in text_lines(file)]
    if len(names) != columns:
        raise ValueError(
            f"{file} must name the {columns} classes of the lists, a line each. "
            f"Received: {len(names)} names"
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{file} must name different classes. Received twice: {repeated}")
    return names
