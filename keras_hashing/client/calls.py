"""What a client asks of a model server and what it gets back, whatever the transport."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]  # strings are arrays of objects (bytes)


@dataclass(frozen=True)
class Model:
    """Which model of a server is meant.

    Attributes:
        name: its name on the server.
        version: its version; `None` for the one that the server prefers, the highest.
        label: a label that the server's configuration gives to a version; `None` for none.
    """

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name!r} version {self.version}"
        return f"{self.name!r}" if self.label is None else f"{self.name!r} label {self.label!r}"


@dataclass(frozen=True)
class Predict:
    """Call a signature; answered by a `Prediction`."""

    model: Model
    signature: str
    inputs: Arrays


@dataclass(frozen=True)
class GetStatus:
    """Ask for the states of a model's versions; answered by a list of `VersionState`."""

    model: Model


@dataclass(frozen=True)
class GetMetadata:
    """Ask for a model's signatures; answered by a `ModelMetadata`."""

    model: Model


Call = Predict | GetStatus | GetMetadata


class Prediction(NamedTuple):
    """The answer of a signature.

    Attributes:
        outputs: its outputs by name.
        version: the version that answered; `None` where the transport does not say (REST).
    """

    outputs: Arrays
    version: int | None


class VersionState(NamedTuple):
    """The state of a version on the server.

    Attributes:
        version: its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        problem: what went wrong, or "".
    """

    version: int
    state: str
    problem: str


class TensorSpec(NamedTuple):
    """An input or output of a signature.

    Attributes:
        dtype: "uint8", "int32", "int64", "float32", "string", ….
        shape: sizes; `None` for one that is free.
    """

    dtype: str
    shape: tuple[int | None, ...]


class Signature(NamedTuple):
    """A signature of a served model: its inputs and outputs by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


@dataclass(frozen=True)
class ModelMetadata:
    """What a server says about a model.

    Attributes:
        version: the version that it describes; `None` where the server does not say.
        signatures: its signatures by name.
    """

    version: int | None
    signatures: dict[str, Signature] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        """The length of a code, K, that of `continuous` or else of the bytes of `encode`.

        Raises:
            ValueError: if no signature tells it.
        """
        for output in getattr(self.signatures.get("continuous"), "outputs", {}).values():
            if output.shape and output.shape[-1] is not None:
                return output.shape[-1]
        try:
            size = self.signatures["encode"].outputs["code"].shape[-1]
        except (KeyError, IndexError):
            size = None
        if size is None:
            raise ValueError(
                "The served model has no signature `encode` with an output `code` of known size. "
                f"Received: signatures {sorted(self.signatures)}"
            )
        return 8 * size


DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64"}  # names that differ from NumPy's


def dtype_name(data_type: str) -> str:
    """Returns NumPy's name of a TensorFlow type: "DT_UINT8" is "uint8", "DT_STRING" "string"."""
    return DTYPES.get(data_type, data_type.removeprefix("DT_").lower())
