"""Files of float vectors, read a part at a time; pickles are never loaded."""

import math
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

if TYPE_CHECKING:
    from keras_hashing.files.parquet_vectors import ParquetVectors

VECTOR_FORMATS = (
    ".npy: an array [n, D]. .npz: an array `vectors` and, if wanted, `ids` and `labels`. .parquet: "
    "a column `vector` of lists and, if wanted, `id` and `label`."
)
_NAMED_AT_MOST = 3
_SHORTEST = 1e-12  # Keras' UnitNormalization takes a shorter vector for one of this length
_DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


Vectors: TypeAlias = "NDArray[Any] | ParquetVectors"  # [n, D], of real numbers


@dataclass(frozen=True, eq=False)
class VectorFile:
    """Float vectors with the names and labels that their file has.

    Attributes:
        path: The file.
        vectors: [n, D], by a slice or an integer array. Those of .npy and of an uncompressed .npz
            are mapped into memory, those of a compressed .npz are read whole. Parquet streams when
            slices follow each other; an integer array first copies the column to a temporary file.
            Not for several threads at a time.
        ids: The name of each vector, n different strings, or `None`.
        integer_ids: Whether the file's ids are integers.
        labels: The label of each vector, n strings, or `None`.
        class_names: The different labels: integers in their order, others in that of text.
    """

    path: Path
    vectors: Vectors
    ids: Sequence[str] | None = None
    integer_ids: bool = False
    labels: Sequence[str] | None = None
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def names(self) -> Sequence[str]:
        """The ids; of a file without any, the numbers of its rows: "0", "1", …."""
        return [str(row) for row in range(len(self))] if self.ids is None else self.ids

    @property
    def width(self) -> int:
        """D."""
        return self.vectors.shape[1]

    def name(self, position: int) -> str:
        """What messages call a vector."""
        return (
            f"row {position}" if self.ids is None else f"row {position} (id {self.ids[position]!r})"
        )

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """Vectors as float32 [m, D].

        Raises:
            ValueError: if one is not finite or zero; the first are named.
        """
        vectors = self.unchecked(rows)
        if problems := vector_problems(vectors):
            positions = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
            more = len(problems) - _NAMED_AT_MOST
            shown = [
                f"{self.name(int(positions[row]))} {problem}"
                for row, problem in list(problems.items())[:_NAMED_AT_MOST]
            ]
            raise ValueError(
                f"{self.path}: vectors must be finite and not zero. Received: {', '.join(shown)}"
                + f" and {more} more" * (more > 0)
            )
        return vectors

    def unchecked(self, rows: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """Vectors as float32 [m, D], whatever they hold; what float32 has not becomes infinite."""
        with np.errstate(over="ignore"):
            return np.array(self.vectors[rows], np.float32)


def open_vectors(path: str | os.PathLike[str]) -> VectorFile:
    """Opens a file of vectors; what is in them is read and checked later, by `VectorFile.read`.

    `VECTOR_FORMATS` says what it may hold. Vectors are of real numbers of any size, ids and labels
    are strings or integers, one for each vector.

    Args:
        path: A .npy, .npz or .parquet file.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if Parquet is to be read and pyarrow is not there.
        ValueError: if it has another suffix, is damaged, holds Python objects (a pickle), no
            vectors, other arrays, ids that repeat, or ids or labels of another number. The
            message names the file, the rule and what was received.
    """
    path = Path(path)
    readers = {".npy": _npy, ".npz": _npz, ".parquet": _parquet}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: a file of vectors must end in {', '.join(readers)}. "
            f"Received: {path.suffix or 'no suffix'}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of vectors {str(path)!r}")
    with _named(path):
        vectors, ids, labels = readers[path.suffix](path)
        _check_vectors(vectors)
        rows = len(vectors)
        names, are_integers = _strings("ids", ids, rows)
        classes, integer_classes = _strings("labels", labels, rows)
        if names is not None and len(set(names)) < len(names):
            repeated = [name for name, count in Counter(names).most_common(3) if count > 1]
            raise ValueError(f"ids must differ. Received several times: {', '.join(repeated)}")
    order = sorted(set(classes or ()), key=int if integer_classes else None)
    return VectorFile(path, vectors, names, are_integers, classes, order)


def vector_problems(vectors: NDArray[np.floating]) -> dict[int, str]:
    """What is wrong with each row that no encoder takes: not finite, or without a direction."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
    rows = np.flatnonzero(~((squares > _SHORTEST**2) & (squares < np.inf)))
    return {int(row): _problem(vectors[row]) for row in rows}


def _problem(vector: NDArray[np.floating]) -> str:
    if not np.isfinite(vector).all():
        return "is not finite"
    if not vector.any():
        return "is zero: it has no direction"
    return f"has a length outside {_SHORTEST:g} to 1e19, which float32 cannot divide by: scale it"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(f"{path}: {error}") from None


def _check_vectors(vectors: Any) -> None:
    if len(vectors.shape) != 2 or vectors.dtype.kind not in "biuf":
        raise ValueError(
            "vectors must be real numbers of shape [n, D]. "
            f"Received: shape={vectors.shape}, dtype={vectors.dtype}"
        )
    if 0 in vectors.shape:
        raise ValueError(f"there must be vectors. Received: none, shape={vectors.shape}")


def _strings(name: str, values: list | None, rows: int) -> tuple[list[str] | None, bool]:
    """The values as strings, and whether the file has integers for them."""
    if values is None:
        return None, False
    if len(values) != rows:
        raise ValueError(
            f"{name} must be one for each vector. Received: {len(values):,} for {rows:,} vectors"
        )
    kind = str if isinstance(values[0], str) else int
    for row, value in enumerate(values):
        if type(value) is not kind:
            raise ValueError(
                f"{name} must be all strings or all integers. Received: {value!r:.80} in row {row}"
            )
    if kind is int and not -(2**63) <= min(values) <= max(values) < 2**63:
        raise ValueError(f"{name} must be integers of 64 bits. Received: {max(values)}")
    return [str(value) for value in values], kind is int


def _npy(path: Path) -> tuple[Vectors, None, None]:
    with path.open("rb") as file:
        return _mapped(file, path), None, None


def _npz(path: Path) -> tuple[Vectors, list | None, list | None]:
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if "vectors" not in members or not set(members) <= {"vectors", "ids", "labels"}:
            raise ValueError(
                "it must hold the array `vectors` and, if wanted, `ids` and `labels`. "
                f"Received: {', '.join(sorted(members)) or 'none'}"
            )
        ids, labels = (
            _listed(archive, members[name]) if name in members else None
            for name in ("ids", "labels")
        )
        member = archive.getinfo(members["vectors"])
        if member.compress_type != zipfile.ZIP_STORED:
            return _array(archive, member.filename), ids, labels
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # of ZIP's local header: two lengths at 26, name at 30
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        return _mapped(file, path), ids, labels


def _mapped(file: IO[bytes], path: Path) -> NDArray:
    """The array whose header begins where the file is at."""
    shape, in_fortran_order, dtype = _header(file)
    if 0 in shape:
        return np.empty(shape, dtype)  # there is nothing to map
    start, order = file.tell(), "F" if in_fortran_order else "C"
    missing = start + math.prod(shape) * dtype.itemsize - path.stat().st_size
    if missing > 0:
        raise ValueError(f"it is cut off: {missing:,} bytes are missing")
    return np.memmap(path, dtype, "r", start, shape, order)  # type: ignore[call-overload]


def _array(archive: zipfile.ZipFile, member: str) -> NDArray:
    with archive.open(member) as file:
        _header(file)
    with archive.open(member) as file:
        return numpy_format.read_array(file, allow_pickle=False)


def _listed(archive: zipfile.ZipFile, member: str) -> list:
    array = _array(archive, member)
    return (np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array).tolist()


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of an array; refuses one whose items are pickled."""
    start = file.tell()
    if file.read(1) == b"\x80":
        raise ValueError("it is a pickle, which is never loaded")
    file.seek(start)
    try:
        version = numpy_format.read_magic(file)
        read = {
            (1, 0): numpy_format.read_array_header_1_0,
            (2, 0): numpy_format.read_array_header_2_0,
        }[version]
        header = read(file)
    except (ValueError, KeyError, EOFError):
        raise ValueError("it is no NumPy array, or a damaged one") from None
    if header[2].hasobject:
        raise ValueError(
            "it holds Python objects (a pickle), which are never loaded. Save numbers, or strings "
            "by np.array(ids, dtype=str)"
        )
    return header


def _parquet(path: Path) -> tuple[Vectors, list | None, list | None]:
    try:
        from keras_hashing.files.parquet_vectors import ParquetVectors
    except ModuleNotFoundError:
        raise ImportError("Parquet needs pyarrow: pip install 'keras-hashing[stores]'") from None

    vectors = ParquetVectors(path)
    return vectors, vectors.column("id"), vectors.column("label")
