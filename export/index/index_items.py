"""What an index is made of: images of a folder, a list file or a data set, or vectors of a file."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from export.index.encode_files import encode_batch
from export.index.file_encoder import FileEncoder
from keras_hashing.files.image_folder import image_files
from keras_hashing.files.list_lines import list_lines
from keras_hashing.files.vector_file import VectorFile, open_vectors, vector_problems

if TYPE_CHECKING:
    from training.data import ImageDataset

IdFrom = Literal["path", "stem"]
Refuse = Callable[[int, str], None]  # position, what is wrong
Encoded = tuple[list[int], NDArray[np.uint8]]  # m positions, their codes [m, K/8]


@dataclass(frozen=True)
class IndexItems(ABC):
    """What is to be encoded, by position, with names.

    Attributes:
        ids: the name of each item, n different strings.
        labels: what to show as the label of each, n strings, or `None`.
        kind: what messages call the items.
        batch: items in memory at a time.
        shard: items whose codes are saved together.

    Raises:
        ValueError: if there is none, or ids repeat; they are named.
    """

    ids: Sequence[str]
    labels: Sequence[str] | None

    kind: ClassVar[str]
    batch: ClassVar[int]
    shard: ClassVar[int]

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError(f"There are no {self.kind} to encode")
        repeated = [name for name, count in Counter(self.ids).most_common(3) if count > 1]
        if repeated:
            raise ValueError(
                f"Ids must differ. Several {self.kind} have the id: {', '.join(repeated)}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    @abstractmethod
    def width(self) -> int | None:
        """D, the number of values of a vector; `None` of images."""

    @abstractmethod
    def encode(self, encoder: FileEncoder, positions: range, refuse: Refuse) -> Encoded:
        """Encodes a batch, and refuses what cannot be encoded."""


@dataclass(frozen=True)
class ImageItems(IndexItems):
    """Image files.

    Attributes:
        read: gives the content of the file at a position; raises `OSError` if it cannot.
        paths: the file of each; empty if they are not files of their own.
    """

    read: Callable[[int], bytes]
    paths: Sequence[Path] = ()

    kind = "images"
    batch = 64
    shard = 2048

    width = None

    def encode(self, encoder: FileEncoder, positions: range, refuse: Refuse) -> Encoded:
        """Codes of the files that can be read and decoded."""
        return encode_batch(encoder.encode_bytes, self.read, positions, refuse)


@dataclass(frozen=True)
class VectorItems(IndexItems):
    """Vectors of a file.

    Attributes:
        file: where they are.
    """

    file: VectorFile

    kind = "vectors"
    batch = 1 << 13
    shard = 1 << 17

    @property
    def width(self) -> int:
        """Of the file."""
        return self.file.width

    def encode(self, encoder: FileEncoder, positions: range, refuse: Refuse) -> Encoded:
        """Codes of the vectors that are finite and not zero."""
        vectors = self.file.unchecked(slice(positions.start, positions.stop))
        problems = vector_problems(vectors)
        for row, problem in problems.items():
            refuse(positions[row], problem)
        if problems:
            vectors = np.delete(vectors, list(problems), axis=0)
        good = [at for row, at in enumerate(positions) if row not in problems]
        return good, encoder.encode(vectors)


def vector_items(path: str | os.PathLike[str]) -> VectorItems:
    """Returns the vectors of a file, with ids "0", "1", … if it has none.

    Raises:
        FileNotFoundError, ImportError, ValueError: as `open_vectors`.
    """
    file = open_vectors(path)
    return VectorItems(file.names, file.labels, file)


def folder_items(folder: Path, id_from: IdFrom = "path") -> ImageItems:
    """Returns the images in a folder, as `image_files` finds them.

    Args:
        id_from: "path" for ids such as "cats/17.jpg", relative to the folder with forward slashes;
            "stem" for the name without folder and suffix, such as "17".

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no image, or ids repeat.
    """
    paths = [path.relative_to(folder) for path in image_files(folder)]
    return _file_items(folder, paths, None, id_from)


def list_items(
    file: Path,
    root: Path | None = None,
    class_names: Sequence[str] = (),
    id_from: IdFrom = "path",
) -> ImageItems:
    """Returns the images that a list file names, as HashNet introduced them.

    One line for each image: its path and, if there are labels, a 0 or 1 for each class, as in
    `images/cat.jpg 0 1 0`. The form is that of `keras_hashing.files.list_lines`.

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
    lines = list_lines(file)
    columns = len(lines[0].labels)
    names = class_names if len(class_names) == columns else [str(at) for at in range(columns)]
    labels = [_label(names, list(map(int, line.labels))) for line in lines]
    return _file_items(
        file.parent if root is None else root,
        [Path(line.path) for line in lines],
        labels if columns else None,
        id_from,
    )


def dataset_items(dataset: "ImageDataset", part: str | None = None) -> ImageItems:
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
    return ImageItems(
        ids=[dataset.ids[at] for at in positions],
        labels=[_label(dataset.class_names, dataset.labels[at].tolist()) for at in positions],
        read=lambda at: dataset.images.encoded_image(positions[at])[0],
    )


def _label(names: Sequence[str], row: Sequence[int]) -> str:
    """The names of the classes that a row of 0 and 1 has, such as "cat, dog"."""
    return ", ".join(name for name, has in zip(names, row, strict=True) if has)


def _file_items(
    root: Path, paths: list[Path], labels: list[str] | None, id_from: IdFrom
) -> ImageItems:
    ids = [path.stem if id_from == "stem" else path.as_posix() for path in paths]
    files = [root / path for path in paths]
    return ImageItems(ids, labels, lambda at: files[at].read_bytes(), files)
