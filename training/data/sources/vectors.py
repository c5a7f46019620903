"""A file of vectors that another model made."""

import os

import numpy as np

from keras_hashing.command_line.progress import loading_progress
from keras_hashing.files.vector_file import VectorFile, open_vectors
from training.data.rows import BLOCK
from training.data.vector_dataset import VectorDataset


def load_vectors(path: str | os.PathLike[str]) -> VectorDataset:
    """Load a file of vectors; `keras_hashing.files.vector_file.VECTOR_FORMATS` says which.

    Every vector is looked at once, by blocks, so that a bad one shows here and not in the middle of
    training. All are part "train". Vectors without ids are called by their row, "0", "1", ….

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: when Parquet is to be read and pyarrow is not there.
        ValueError: when the file is no such file, or a vector is not finite or zero (it is named).
    """
    file = open_vectors(path)
    with loading_progress("Checking vectors", len(file)) as advance:
        for start in range(0, len(file), BLOCK):
            advance(len(file.read(slice(start, start + BLOCK))))
    names = list(file.class_names)
    return VectorDataset(
        name="vectors",
        vectors=file.vectors,
        labels=_one_hot(file, names),
        ids=list(file.ids) if file.ids is not None else list(map(str, range(len(file)))),
        class_names=names,
        part=np.full(len(file), "train"),
    )


def _one_hot(file: VectorFile, names: list[str]) -> np.ndarray:
    """uint8 [n, C]; C is 0 without labels."""
    labels = np.zeros((len(file), len(names)), np.uint8)
    if file.labels is not None:
        columns = {name: column for column, name in enumerate(names)}
        labels[np.arange(len(file)), [columns[label] for label in file.labels]] = 1
    return labels
