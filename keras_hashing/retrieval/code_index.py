"""The packed codes of a database with the names of its items: searched exactly, kept in a file."""

import os
import secrets
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.retrieval.bit_words import Words, bit_words
from keras_hashing.retrieval.hamming import HammingKernel
from keras_hashing.retrieval.precision import check_radius
from keras_hashing.retrieval.query_blocks import for_query_blocks
from keras_hashing.retrieval.validation import check_cut, check_packed_codes, check_same_width

FORMAT = "keras_hashing.CodeIndex/1"
TILE = 1 << 16  # items of the database at a time: the scratch of a tile stays in the L2 cache

# What NumPy and zipfile raise on a damaged archive. OSError: it points outside itself;
# RuntimeError: it claims to be encrypted, or compressed in a way that zipfile does not know.
_DAMAGE = (ValueError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
_MEMBERS = {"format", "fingerprint", "codes", "ids_text", "ids_bytes"}
_LABEL_MEMBERS = {"labels_text", "labels_bytes"}


class CodeIndex:
    """The packed codes, ids and labels of a database, searched by Hamming distance.

    Codes of two models do not mix: the index carries the fingerprint of the code space its codes
    come from, and who searches compares it (`check_fingerprint`).

    Args:
        codes: packed codes, uint8, shape [n, K/8]; n may be 0. They are copied.
        ids: the name of each item, n different strings.
        fingerprint: names the code space; not empty.
        labels: what to show as the label of each item, n strings such as "cat" or "cat, dog"; or
            `None`.

    Attributes:
        codes: packed codes, uint8, shape [n, K/8], read-only.
        ids: n strings.
        labels: n strings, or `None`.
        fingerprint: the name of the code space.

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.

    Example:

    >>> index = CodeIndex(np.array([[0b1100], [0b0001]], np.uint8), ["a", "b"], fingerprint="f")
    >>> index.search(np.array([[0b0011]], np.uint8), k=2)
    (array([[1, 0]]), array([[1, 4]], dtype=int32))
    """

    def __init__(
        self,
        codes: ArrayLike,
        ids: Sequence[str],
        fingerprint: str,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.codes = check_packed_codes("codes", codes, allow_empty=True).copy()
        self.codes.flags.writeable = False
        self.ids = _check_strings("ids", ids, len(self.codes))
        _check_different(self.ids)
        self.labels = None if labels is None else _check_strings("labels", labels, len(self.codes))
        self.fingerprint = _check_fingerprint(fingerprint)
        self._words = bit_words(self.codes)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def bits(self) -> int:
        """The number of bits of a code, K."""
        return 8 * self.codes.shape[1]

    def search(
        self, query_codes: ArrayLike, k: int = 10, radius: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Finds the `k` items nearest to each query: exact, nearest first.

        Equal distances come in ascending order of the database. Beyond the result, memory is at
        most 40 bytes × (65,536 + k) a thread.

        Args:
            query_codes: packed codes, uint8, shape [Q, K/8]; Q may be 0.
            k: how many items, at least 1; more than n means all n.
            radius: the largest distance wanted, 0 <= radius <= K; `None` for any.

        Returns:
            Positions in the database, int64, and distances, int32, both of shape [Q, min(k, n)].
            Where fewer than that many items lie within `radius`, the rest of the row is -1 in both.

        Raises:
            ValueError: if an argument breaks one of these rules; the message names it.
        """
        queries = check_packed_codes("query_codes", query_codes, allow_empty=True)
        check_same_width(queries, self.codes)
        count = check_cut(k, len(self), beyond=True)
        if radius is not None:
            radius = check_radius(radius, self.bits)
        query_words = bit_words(queries)
        positions = np.empty((len(queries), count), dtype=np.int64)
        distances = np.empty((len(queries), count), dtype=np.int32)

        def fill(rows: slice) -> None:
            tile = min(TILE, len(self))
            kernel = HammingKernel(tile, self._words.dtype)
            scratch = np.empty(tile, dtype=np.min_scalar_type(self.bits))
            for query in range(*rows.indices(len(queries))):
                positions[query], distances[query] = self._nearest(
                    query_words[:, query], count, kernel, scratch
                )

        for_query_blocks(fill, len(queries))
        if radius is not None:
            outside = distances > radius
            positions[outside] = -1
            distances[outside] = -1
        return positions, distances

    def _nearest(
        self, query: Words, count: int, kernel: HammingKernel, scratch: NDArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Returns the positions and distances of the `count` items nearest to one query."""
        positions = np.empty(0, dtype=np.int64)
        distances = np.empty(0, dtype=scratch.dtype)
        for start in range(0, len(self), TILE):
            words = self._words[:, start : start + TILE]
            tile = scratch[: words.shape[1]]
            kernel.distances(query, words, out=tile)
            here = _smallest(tile, count)
            # Those found before stay in front, so a stable sort keeps the order of the database.
            distances = np.concatenate([distances, tile[here]])
            positions = np.concatenate([positions, here + start])
            order = np.argsort(distances, kind="stable")[:count]
            positions, distances = positions[order], distances[order]
        return positions, distances.astype(np.int32)

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises `ValueError` unless the index is of the code space that `fingerprint` names."""
        if fingerprint != self.fingerprint:
            raise ValueError(
                "Codes of two models do not mix: the index holds codes of the code space "
                f"{self.fingerprint!r}. Received: fingerprint={fingerprint!r}"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index as one .npz file, whole or not at all.

        It is written under a temporary name in the same folder, and renamed once it is on the disk:
        a reader sees the old file or the new one, and a failure leaves the old one as it was.

        Args:
            path: the file, replaced if it exists; its folder must exist.

        Raises:
            OSError: if it cannot be written (no such folder, disk full, …).
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to save the index in")
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            with open(temporary, "xb") as file:
                np.savez(file, allow_pickle=False, **self._arrays())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads an index that `save` wrote.

        Args:
            path: the file.

        Raises:
            FileNotFoundError: if there is no such file.
            OSError: if it cannot be opened.
            ValueError: if it is damaged, or no index that this version can read.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"There is no index {str(path)!r}")
        with open(path, "rb") as file:
            try:
                archive = np.load(file, allow_pickle=False)
            except _DAMAGE:
                raise ValueError(f"{str(path)!r} is no index, or a damaged one") from None
            if not isinstance(archive, Mapping):
                raise ValueError(f"{str(path)!r} is a NumPy array, not an index")
            try:
                arrays = dict(archive)
            except _DAMAGE as error:
                raise ValueError(f"The index {str(path)!r} is damaged: {error}") from None
        return cls._from_arrays(arrays, path)

    def _arrays(self) -> dict[str, NDArray]:
        """The index as arrays without Python objects."""
        arrays = {
            "format": np.array(FORMAT),
            "fingerprint": np.array(self.fingerprint),
            "codes": self.codes,
            **_text_arrays("ids", self.ids),
        }
        return arrays if self.labels is None else arrays | _text_arrays("labels", self.labels)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray], path: Path) -> Self:
        found = str(arrays.get("format", "none"))
        if found != FORMAT:
            raise ValueError(
                f"{str(path)!r} is no index that this version can read: its format must be "
                f"{FORMAT!r}. Received: {found}"
            )
        if set(arrays) not in (_MEMBERS, _MEMBERS | _LABEL_MEMBERS):
            raise ValueError(f"The index {str(path)!r} is damaged: it holds {sorted(arrays)}")
        try:
            return cls(
                codes=arrays["codes"],
                ids=_strings(arrays, "ids"),
                fingerprint=str(arrays["fingerprint"]),
                labels=_strings(arrays, "labels") if "labels_text" in arrays else None,
            )
        except ValueError as error:
            raise ValueError(f"The index {str(path)!r} is damaged: {error}") from None


def _smallest(distances: NDArray, count: int) -> NDArray[np.int64]:
    """Returns the positions of the `count` smallest distances (or all), in ascending position.

    Of those equal to the largest of them, the first are taken.
    """
    if count >= len(distances):
        return np.arange(len(distances))
    last = np.partition(distances, count - 1)[count - 1]
    nearer = np.flatnonzero(distances < last)
    equal = np.flatnonzero(distances == last)[: count - len(nearer)]
    return np.sort(np.concatenate([nearer, equal]))


# As bytes and lengths: an array of str would give every item the width of the longest.


def _text_arrays(name: str, strings: list[str]) -> dict[str, NDArray]:
    # Any str: file names that are not UTF-8 reach Python as lone surrogates.
    encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
    return {
        f"{name}_text": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        f"{name}_bytes": np.array([len(text) for text in encoded], dtype=np.int64),
    }


def _strings(arrays: dict[str, NDArray], name: str) -> list[str]:
    text, lengths = arrays[f"{name}_text"].tobytes(), arrays[f"{name}_bytes"]
    if lengths.ndim != 1 or lengths.dtype != np.int64 or (lengths < 0).any():
        raise ValueError(f"the lengths of `{name}` are no lengths")
    ends = np.cumsum(lengths).tolist()
    if len(text) != lengths.sum():
        raise ValueError(f"the text of `{name}` has another length than it should")
    starts = [0, *ends][: len(ends)]
    return [
        text[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts, ends, strict=True)
    ]


def _check_strings(name: str, strings: Sequence[str], rows: int) -> list[str]:
    if isinstance(strings, str) or not all(isinstance(string, str) for string in strings):
        raise ValueError(f"`{name}` must be a list of str. Received: {strings!r:.100}")
    if len(strings) != rows:
        raise ValueError(
            f"`{name}` must have one string a code. "
            f"Received: {len(strings)} strings for {rows} codes"
        )
    return list(map(str, strings))  # str itself, where NumPy gives a subclass


def _check_different(ids: list[str]) -> None:
    repeated = [name for name, count in Counter(ids).most_common(3) if count > 1]
    if repeated:
        raise ValueError(f"`ids` must differ. Received several times: {', '.join(repeated)}")


def _check_fingerprint(fingerprint: str) -> str:
    if not isinstance(fingerprint, str) or not fingerprint:
        raise ValueError(
            f"`fingerprint` must be a str that is not empty. Received: fingerprint={fingerprint!r}"
        )
    return fingerprint
