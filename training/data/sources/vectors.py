"""Vectors that another model made."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_hashing.command_line.progress import loading_progress
from keras_hashing.files.vector_file import VectorFile, open_vectors
from training.data.dataset import Dataset
from training.data.rows import BLOCK

_VECTORS_IN_DIGEST = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class VectorDataset(Dataset):
    """Float vectors with their names, and labels if they have any.

    Args:
        vectors: [n, D], with rows by a slice or by integers; it may be memory-mapped.
        **others: As in `Dataset`.

    Raises:
        ValueError: as `Dataset`, or when there are not as many ids as vectors.
    """

    vectors: Any

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.vectors):
            raise ValueError(
                f"`ids` must have one entry for each of the {len(self.vectors)} vectors. "
                f"Received: {len(self.ids)}"
            )
        super().__post_init__()

    @property
    def digest(self) -> str:
        """As of any data set, and over some of the vectors."""
        spread = np.linspace(0, len(self) - 1, min(_VECTORS_IN_DIGEST, len(self)), dtype=int)
        digest = hashlib.sha256(super().digest.encode())
        digest.update(np.ascontiguousarray(self.vectors[spread]).tobytes())
        return digest.hexdigest()[:16]

    @property
    def width(self) -> int:
        """D, the number of values of a vector."""
        return int(self.vectors.shape[1])


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
        ids=list(file.names),
        class_names=names,
        part=np.full(len(file), "train"),
    )


def write_directions(path: Path, vectors: Any) -> None:
    """Writes vectors scaled to length 1 as a .npy file, float32 [n, D], by blocks."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": tuple(vectors.shape)}
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, len(vectors), BLOCK):
            block = np.asarray(vectors[start : start + BLOCK], dtype=np.float32)
            file.write((block / np.linalg.norm(block, axis=1, keepdims=True)).tobytes())


def _one_hot(file: VectorFile, names: list[str]) -> np.ndarray:
    """uint8 [n, C]; C is 0 without labels."""
    labels = np.zeros((len(file), len(names)), np.uint8)
    if file.labels is not None:
        columns = {name: column for column, name in enumerate(names)}
        labels[np.arange(len(file)), [columns[label] for label in file.labels]] = 1
    return labels
