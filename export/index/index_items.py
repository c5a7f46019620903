"""The images that an index is made of: a folder, a list file or a data set."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keras_hashing.files.image_folder import image_files
from keras_hashing.files.list_lines import list_lines

if TYPE_CHECKING:
    from training.data import ImageDataset

IdFrom = Literal["path", "stem"]


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
    """Returns the images in a folder, as `image_files` finds them.

    Args:
        folder: the folder.
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
) -> IndexItems:
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
