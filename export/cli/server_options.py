"""Which running server is asked, and how."""

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, FilePath

from export.cli.server import Server
from keras_hashing.settings import Settings


class ServerOptions(Settings):
    """A TensorFlow Serving with a model."""

    model_config = ConfigDict(title="Running server (instead of --model and --index)")

    server: str | None = Field(
        default=None,
        description="HOST:PORT of a TensorFlow Serving that serves a model with an index; needs "
        "--name.",
    )
    name: str | None = Field(default=None, description="The model's name on the server.")
    version: int | None = Field(
        default=None,
        ge=1,
        description="The version to ask. (default: the one the server prefers, the highest)",
    )
    transport: Literal["grpc", "rest"] = Field(
        default="grpc", description="By custom gRPC has port 8500, REST 8501."
    )
    tls: bool = Field(
        default=False, description="Encrypt, and trust the authorities that the system trusts."
    )
    root_certificates: FilePath | None = Field(
        default=None, description="Encrypt, and trust the authorities in this PEM file."
    )
    deadline: float = Field(default=30, gt=0, description="Seconds for a request with its retries.")

    def to_server(self) -> Server:
        """The server, which is named."""
        assert self.server is not None
        assert self.name is not None
        certificates = None if self.root_certificates is None else Path(self.root_certificates)
        return Server(
            self.server, self.name, self.version, self.transport, self.tls, certificates,
            self.deadline,
        )  # fmt: skip


class NeighbourOptions(Settings):
    """Which neighbours are shown."""

    model_config = ConfigDict(title="Search")

    k: int = Field(default=10, ge=1, description="Database images to show.")
    radius: int | None = Field(
        default=None,
        ge=0,
        description="Show only what lies within this Hamming distance. (default: any distance)",
    )
