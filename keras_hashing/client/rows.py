"""What a user hands in to be encoded or searched, as rows that are cut into requests."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_hashing.client.errors import InvalidRequestError
from keras_hashing.files.image_verdict import verdict

Images = NDArray[np.uint8] | Sequence[str | os.PathLike[str]] | Sequence[bytes]


class Rows(Protocol):
    """The rows of one input of a signature.

    Attributes:
        input: the name of the input.
        encode: the signature that encodes them; "" if none does.
        search: the signature that searches with them; "" if none does.
        refusable: whether a server may refuse one for what is in it.
    """

    input: str
    encode: str
    search: str
    refusable: bool

    def __len__(self) -> int:
        """The number of rows."""

    def size(self, row: int) -> int:
        """The bytes of a row in a request."""

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop` (exclusive)."""

    def name(self, row: int) -> str:
        """What to call a row in a message."""


class PixelRows:
    """Pixels, the rows of an array uint8 [n, h, w, C]."""

    input, encode, search, refusable = "images", "encode", "", False

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self._size = int(np.prod(array.shape[1:], dtype=np.int64)) * array.itemsize

    def __len__(self) -> int:
        return len(self._array)

    def size(self, row: int) -> int:
        """The bytes of a row."""
        return self._size

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`."""
        return self._array[start:stop]

    def name(self, row: int) -> str:
        """The row by its number."""
        return f"row {row}"


class CodeRows(PixelRows):
    """Packed codes, the rows of an array uint8 [n, K/8]."""

    input, encode, search = "code", "", "search_code"


class VectorRows(PixelRows):
    """Vectors, the rows of an array float32 [n, D]."""

    input, encode, search, refusable = "vectors", "encode_vectors", "search_vectors", True


class BytesRows:
    """The contents of image files."""

    input, encode, search, refusable = "encoded", "encode_bytes", "search", True

    def __init__(self, contents: Sequence[bytes]) -> None:
        self._contents = contents

    def __len__(self) -> int:
        return len(self._contents)

    def size(self, row: int) -> int:
        """The bytes of a file, with what the message adds to it."""
        return len(self._contents[row]) + 8

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """The contents from `start` to `stop`."""
        return strings(
            [_sendable(bytes(self._contents[row]), self.name(row)) for row in range(start, stop)]
        )

    def name(self, row: int) -> str:
        """The file by its number."""
        return f"image {row}"


class FileRows:
    """Image files by their paths, read when they are sent."""

    input, encode, search, refusable = "encoded", "encode_bytes", "search", True

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self._paths = [Path(path) for path in paths]

    def __len__(self) -> int:
        return len(self._paths)

    def size(self, row: int) -> int:
        """The bytes of a file, with what the message adds to it."""
        return self._paths[row].stat().st_size + 8

    def take(self, start: int, stop: int) -> NDArray[Any]:
        """The contents of the files from `start` to `stop`."""
        return strings(
            [_sendable(self._paths[row].read_bytes(), self.name(row)) for row in range(start, stop)]
        )

    def name(self, row: int) -> str:
        """The path of the file."""
        return repr(str(self._paths[row]))


def _sendable(content: bytes, name: str) -> bytes:
    """The content of a file, unless a server would decode it wrongly without saying so."""
    if content.startswith(b"BM") and (problem := verdict(content)):
        raise InvalidRequestError(f"{name} {problem}")
    return content


def strings(values: Sequence[bytes]) -> NDArray[Any]:
    """Returns byte strings as an array of objects, shape [n]."""
    array: NDArray[Any] = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def rows_of_images(images: Images, also_codes: bool = False) -> Rows:
    """Returns what was handed in as rows.

    Args:
        images: pixels, uint8 [n, h, w, C]; or n paths; or the contents of n image files.
        also_codes: whether packed codes, uint8 [n, K/8], are welcome too.

    Raises:
        TypeError: if it is none of these.
        ValueError: if it is an array of another shape or dtype.
    """
    if isinstance(images, np.ndarray):
        kind = CodeRows if images.ndim == 2 else PixelRows
        return kind(_checked_array(images, also_codes))
    expected = "an array, or a list of paths or of bytes"
    if isinstance(images, (str, bytes, bytearray, os.PathLike)) or not isinstance(images, Sequence):
        raise TypeError(f"`images` must be {expected}. Received: {type(images).__name__}")
    if all(isinstance(image, (bytes, bytearray, memoryview)) for image in images):
        return BytesRows(images)  # type: ignore[arg-type]
    if all(isinstance(image, (str, os.PathLike)) for image in images):
        return FileRows(images)  # type: ignore[arg-type]
    kinds = sorted({type(image).__name__ for image in images})
    raise TypeError(f"`images` must be {expected}. Received: a list of {', '.join(kinds)}")


def _checked_array(array: NDArray[Any], also_codes: bool) -> NDArray[np.uint8]:
    ranks = (2, 4) if also_codes else (4,)
    if array.dtype != np.uint8 or array.ndim not in ranks:
        codes = ", or packed codes, uint8 [n, K/8]" if also_codes else ""
        raise ValueError(
            f"`images` must be pixels, uint8 [n, h, w, C]{codes}. "
            f"Received: {array.dtype} {list(array.shape)}"
        )
    return array


def blocks(
    rows: Rows, most_bytes: int, most_rows: int, answer_bytes: int
) -> Iterator[tuple[int, int]]:
    """Cuts rows into requests, in order.

    Args:
        rows: what to send.
        most_bytes: the bytes of a request, and of an answer, at most. A row that is larger goes
            alone: whether it passes is for the server to say.
        most_rows: the rows of a request at most.
        answer_bytes: the bytes of the answer to a row, roughly.

    Yields:
        The first row of each request, and the one after its last.
    """
    most_rows = max(1, min(most_rows, most_bytes // max(1, answer_bytes)))
    start, total = 0, 0
    for row in range(len(rows)):
        size = rows.size(row)
        if row > start and (row - start >= most_rows or total + size > most_bytes):
            yield start, row
            start, total = row, 0
        total += size
    if start < len(rows):
        yield start, len(rows)
