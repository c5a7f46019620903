"""Which running server is asked, and how; what it is asked about."""

from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, FilePath

from keras_hashing.files.vector_file import open_vectors
from keras_hashing.settings import Settings

_FIRST = 10  # rows
NEAREST = 10  # neighbours


class ServerOptions(Settings):
    """A TensorFlow Serving with a model."""

    model_config = ConfigDict(title="Running server (instead of --model and --index)")

    server: str | None = None
    """HOST:PORT of a TensorFlow Serving that serves a model with an index; needs --name."""
    name: str | None = None
    """The model's name on the server."""
    version: int | None = Field(default=None, ge=1)
    """The version to ask. (default: the one the server prefers, the highest)"""
    transport: Literal["grpc", "rest"] = "grpc"
    """By custom gRPC has port 8500, REST 8501."""
    tls: bool = False
    """Encrypt, and trust the authorities that the system trusts."""
    root_certificates: FilePath | None = None
    """Encrypt, and trust the authorities in this PEM file."""
    deadline: float = Field(default=30, gt=0)
    """Seconds for a request with its retries."""


class NeighbourOptions(Settings):
    """Which neighbours are shown."""

    model_config = ConfigDict(title="Search")

    k: int | None = Field(default=None, ge=1)
    """Items of the database to show. (default: 10; with --radius, all within it, and by --server as
    many as it gives)"""
    radius: int | None = Field(default=None, ge=0)
    """Show only what lies within this Hamming distance. (default: any distance)"""


class NamedVectors(NamedTuple):
    """Vectors that neighbours are wanted of.

    Attributes:
        names: their ids; without ids, their rows.
        vectors: float32 [n, D].
    """

    names: list[str]
    vectors: NDArray[np.float32]


class VectorOptions(Settings):
    """Vectors to ask about."""

    model_config = ConfigDict(title="Vectors (instead of images)")

    vectors: Path | None = None
    """File of vectors to find the neighbours of: .npy, .npz or .parquet, as for `index build`."""
    rows: str | None = Field(
        default=None,
        description=f"Which of them: rows from 0, such as 0,5. (default: the first {_FIRST})",
    )

    def refuse_early(self, images: bool, html: Path | None) -> Self:
        """Refuses what does not fit the other options.

        Raises:
            typer.BadParameter: unless images or vectors are named.
            ValueError: if an option does not go with them.
        """
        if images == (self.vectors is not None):
            raise typer.BadParameter("name images, or a file of vectors by --vectors")
        if self.vectors is None and self.rows is not None:
            raise ValueError("--rows goes with --vectors")
        if self.vectors is not None and html is not None:
            raise ValueError("--html shows images, so it does not go with --vectors")
        return self

    def read(self) -> NamedVectors | None:
        """The vectors that are named, if any.

        Raises:
            ValueError: if `rows` are no rows of the file, or a vector is not finite or zero.
        """
        if self.vectors is None:
            return None
        file = open_vectors(self.vectors)
        rows = list(range(min(_FIRST, len(file))))
        if self.rows is not None:
            parts = self.rows.split(",")
            rows = [int(part) for part in parts if part.strip().isdecimal()]
            if len(rows) < len(parts) or max(rows) >= len(file):
                raise ValueError(
                    f"--rows must be numbers from 0 to {len(file) - 1}, separated by commas. "
                    f"Received: {self.rows}"
                )
        names = [str(row) if file.ids is None else file.ids[row] for row in rows]
        return NamedVectors(names, np.concatenate([file.read(slice(at, at + 1)) for at in rows]))
