"""The packed codes of a database with the names of its items: searched, and kept in a file."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.retrieval.bit_words import Words, bit_words
from keras_hashing.retrieval.hamming import HammingKernel
from keras_hashing.retrieval.index_kinds import IndexKind, MultiHash, faiss, read_kind
from keras_hashing.retrieval.precision import check_radius
from keras_hashing.retrieval.query_blocks import for_query_blocks
from keras_hashing.retrieval.text_column import TextColumn, check_strings
from keras_hashing.retrieval.validation import (
    check_cut,
    check_packed_bits,
    check_packed_codes,
    check_same_width,
)
from keras_hashing.retrieval.within_radius import WithinRadius, in_order

FORMAT = "keras_hashing.CodeIndex/1"
TILE = 1 << 16  # items of the database at a time: the scratch of a tile stays in the L2 cache

# What NumPy and zipfile raise on a damaged archive. OSError: it points outside itself;
# RuntimeError: it claims to be encrypted, or compressed in a way that zipfile does not know.
_DAMAGE = (ValueError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
_MEMBERS = {"format", "fingerprint", "codes", "ids_text", "ids_bytes"}
_LABEL_MEMBERS = {"labels_text", "labels_bytes"}
# True if the ids are integers; K if it is not that of all bits of the codes' bytes.
_OPTIONAL_MEMBERS = {"ids_are_int64", "bits"}
_KIND_MEMBERS = {"kind", "faiss"}
_NAMED_AT_MOST = 5  # ids in a message


class CodeIndex:
    """The packed codes, ids and labels of a database, searched by Hamming distance.

    Codes of two models do not mix: the index carries the fingerprint of the code space its codes
    come from, and who searches compares it (`check_fingerprint`).

    An index does not change: `add` and `remove` give another one, which shares nothing that can be
    written to with the first. Save it under the same name to replace it.

    Args:
        codes: packed codes, uint8, shape [n, K/8], K/8 rounded up; n may be 0. They are copied
            unless they are read-only.
        ids: the name of each item, n different strings; or n integers, which sets `integer_ids`.
        fingerprint: names the code space; not empty.
        labels: what to show as the label of each item, n strings such as "cat" or "cat, dog"; or
            `None`.
        integer_ids: whether every id is an integer of 64 bits, written as `str(int)` writes it. A
            server then answers with int64 ids, and with strings otherwise; here they are strings
            in either case.
        bits: K, the number of bits of a code; `None` for all bits of its bytes.

    Attributes:
        codes: packed codes, uint8, shape [n, K/8], read-only.
        ids: n strings, a `TextColumn`.
        kind: how it is searched besides comparing with all codes (`as_kind`), or `None`.

    Raises:
        ValueError: if an argument breaks one of these rules; the message names it.

    Example:

    >>> index = CodeIndex(np.array([[0b1100], [0b0001]], np.uint8), ["a", "b"], fingerprint="f")
    >>> index.search(np.array([[0b0011]], np.uint8), k=2)
    (array([[1, 0]]), array([[1, 4]], dtype=int32))
    >>> len(index.remove(["a"]).add(np.array([[7], [9]], np.uint8), ["c", "d"]))
    3
    """

    def __init__(
        self,
        codes: ArrayLike,
        ids: Sequence[str] | Sequence[int] | NDArray[np.integer],
        fingerprint: str,
        labels: Sequence[str] | None = None,
        integer_ids: bool = False,
        bits: int | None = None,
    ) -> None:
        self.codes = _read_only(check_packed_codes("codes", codes, allow_empty=True))
        self.bits = check_packed_bits("codes", self.codes, bits)
        numbers = _are_integers(ids)
        names = [str(int(number)) for number in ids] if numbers else ids
        self.ids = check_strings("ids", names, len(self.codes))
        _refuse("`ids` must differ. Received several times", self.ids.repeated())
        self.labels = None if labels is None else check_strings("labels", labels, len(self.codes))
        self.fingerprint = _check_fingerprint(fingerprint)
        self.integer_ids = bool(integer_ids) or numbers
        if self.integer_ids:
            _check_integers(self.ids)
        self.kind: IndexKind | None = None
        self._serialized: NDArray[np.uint8] | None = None  # FAISS's index, as a file holds it

    @cached_property
    def _words(self) -> Words:
        return bit_words(self.codes)

    @cached_property
    def _faiss(self) -> Any:
        assert self.kind is not None
        if self._serialized is None:
            return self.kind.make(self.codes)
        found = faiss(self.kind).deserialize_index_binary(self._serialized)
        if (found.ntotal, found.code_size) != self.codes.shape:
            raise ValueError("The index is damaged: FAISS's part of it is of other codes")
        return found

    def as_kind(self, kind: IndexKind | None) -> CodeIndex:
        """Returns the same items, searched in another way.

        `MultiHash` makes searches within a radius fast, and they stay exact. `IVF` and `HNSW` make
        `search` fast and approximate. FAISS's index is made at the first search or `save`, which
        takes a while, and is saved with the codes. `add` and `remove` keep the kind.

        Args:
            kind: such as `MultiHash.of(index.codes, radius=2)`; `None` compares with all codes.
        """
        other = copy(self)
        other.kind = kind
        if (
            kind is None
            or self.kind is None
            or kind != self.kind.model_copy(update={"recall": kind.recall})
        ):
            other._serialized = None
            other.__dict__.pop("_faiss", None)
        return other

    def __len__(self) -> int:
        return len(self.codes)

    def id_numbers(self) -> NDArray[np.int64]:
        """Returns the ids as int64 [n]; raises `ValueError` unless the index says they are."""
        if not self.integer_ids:
            raise ValueError("The ids of the index are strings: it has integer_ids=False")
        return np.fromiter(map(int, self.ids), dtype=np.int64, count=len(self))

    def add(
        self, codes: ArrayLike, ids: Sequence[str], labels: Sequence[str] | None = None
    ) -> CodeIndex:
        """Returns an index of these items and, after them, new ones.

        Args:
            codes: packed codes of the same code space, uint8, shape [m, K/8].
            ids: the names of the new items, m different strings, none of them in the index;
                integers as strings if the index has `integer_ids`.
            labels: m strings if the index has labels, else `None`.

        Raises:
            ValueError: if an argument breaks one of these rules; ids that are known already or
                given twice are named.
        """
        new_codes = check_packed_codes("codes", codes, allow_empty=True)
        check_packed_bits("codes", new_codes, self.bits)
        if (labels is None) != (self.labels is None):
            has, given = ("has", "none") if labels is None else ("has no", "some")
            raise ValueError(f"The index {has} labels. Received: {given} for the items to add")
        new_ids = check_strings("ids", ids, len(new_codes))
        _refuse("These ids are in the index already", list(self.ids.positions_of(list(new_ids))))
        all_labels = None
        if self.labels is not None:
            all_labels = self.labels.followed_by(check_strings("labels", labels, len(new_codes)))
        all_codes = np.concatenate([self.codes, new_codes])
        return self._of_other_items(all_codes, self.ids.followed_by(new_ids), all_labels)

    def remove(self, ids: Sequence[str]) -> CodeIndex:
        """Returns an index of the items but for these; the others keep their order.

        Args:
            ids: names of items in the index; naming one twice removes it once.

        Raises:
            ValueError: if `ids` are no strings, or some are not in the index; they are named.
        """
        names = list(dict.fromkeys(check_strings("ids", ids, len(ids))))
        found = self.ids.positions_of(names)
        _refuse("These ids are not in the index", [name for name in names if name not in found])
        kept = np.ones(len(self), dtype=bool)
        kept[list(found.values())] = False
        labels = None if self.labels is None else self.labels.where(kept)
        return self._of_other_items(self.codes[kept], self.ids.where(kept), labels)

    def _of_other_items(
        self, codes: NDArray[np.uint8], ids: TextColumn, labels: TextColumn | None
    ) -> CodeIndex:
        """An index of the same code space and kind, whose recall is not known."""
        other = CodeIndex(codes, ids, self.fingerprint, labels, self.integer_ids, self.bits)
        return other.as_kind(self.kind and self.kind.model_copy(update={"recall": None}))

    def search(
        self,
        query_codes: ArrayLike,
        k: int = 10,
        radius: int | None = None,
        continuous: ArrayLike | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Finds the `k` items nearest to each query, nearest first.

        Exact, unless the kind of the index is approximate. Equal distances come in descending order
        of u·b, u being the query's continuous code and b ∈ {−1, +1}^K an item's code; without
        `continuous`, and where that is equal too, in ascending order of the database. Beyond the
        result, and what FAISS holds for the kind, memory is at most 40 bytes × (65,536 + k) a
        thread; with `continuous`, those that are as near as the k-th count as well.

        Args:
            query_codes: packed codes, uint8, shape [Q, K/8]; Q may be 0. One code, [K/8], is
                answered by one row.
            k: how many items, at least 1; more than n means all n.
            radius: the largest distance wanted, 0 <= radius <= K; `None` for any.
            continuous: the continuous codes of the queries, finite, [Q, K] or [K]; or `None`.

        Returns:
            Positions in the database, int64, and distances, int32, both of shape [Q, min(k, n)].
            Where fewer than that many items lie within `radius`, or were found at all, the rest of
            the row is -1 in both.

        Raises:
            ValueError: if an argument breaks one of these rules; the message names it.
        """
        queries = self._check_queries(query_codes)
        count = check_cut(k, len(self), beyond=True)
        if radius is not None:
            radius = check_radius(radius, self.bits)
            if self._in_tables(radius):
                return self.search_radius(queries, radius, continuous).nearest(count)
        sureness = None if continuous is None else self._sureness(continuous, len(queries))
        if self.kind is not None and self.kind.approximate and queries.size and count:
            found = self._found_by_faiss(queries, count)
            positions, distances = self._surest_first(found, sureness).nearest(count)
        else:
            positions, distances = self._nearest(queries, count, sureness)
        if radius is not None:
            outside = distances > radius
            positions[outside] = -1
            distances[outside] = -1
        return positions, distances

    def _sureness(self, continuous: ArrayLike, queries: int) -> NDArray[np.float32]:
        """Continuous codes of the queries, checked."""
        codes = np.atleast_2d(np.asarray(continuous, np.float32))
        if codes.shape != (queries, self.bits) or not np.isfinite(codes).all():
            raise ValueError(
                "`continuous` must be finite, one row of K values per query: "
                f"[{queries}, {self.bits}]. Received: {list(codes.shape)}"
                + ("" if np.isfinite(codes).all() else ", with values that are not finite")
            )
        return codes

    def search_radius(
        self, query_codes: ArrayLike, radius: int, continuous: ArrayLike | None = None
    ) -> WithinRadius:
        """Finds all items within a Hamming radius of each query: exact, whatever the kind.

        With the kind `MultiHash`, up to its radius, only codes that share a part with the query are
        compared; else all are.

        Args:
            query_codes: packed codes, as for `search`.
            radius: the largest distance wanted, 0 <= radius <= K.
            continuous: as for `search`: the order of equal distances.

        Raises:
            ValueError: if an argument breaks one of these rules; the message names it.
        """
        queries = self._check_queries(query_codes)
        radius = check_radius(radius, self.bits)
        sureness = None if continuous is None else self._sureness(continuous, len(queries))
        if self._in_tables(radius) and len(queries):
            limits, distances, positions = self._faiss.range_search(queries, radius + 1)
            found = in_order(np.diff(limits.astype(np.int64)), positions, distances)
        else:
            found = self._compared_within(queries, radius)
        return self._surest_first(found, sureness)

    def _compared_within(self, queries: NDArray[np.uint8], radius: int) -> WithinRadius:
        positions = [np.empty(0, np.int64)] * len(queries)
        distances = [np.empty(0, np.int32)] * len(queries)

        def near(query: int, tiles: Iterator[tuple[int, NDArray]]) -> None:
            for start, tile in tiles:
                here = np.flatnonzero(tile <= radius)
                if len(here):
                    positions[query] = np.concatenate([positions[query], here + start])
                    distances[query] = np.concatenate([distances[query], tile[here]])

        self._scan(queries, near)
        return in_order(
            np.array(list(map(len, positions)), np.int64),
            np.concatenate([np.empty(0, np.int64), *positions]),
            np.concatenate([np.empty(0, np.int32), *distances]),
        )

    def _check_queries(self, query_codes: ArrayLike) -> NDArray[np.uint8]:
        array = np.asarray(query_codes)
        queries = check_packed_codes(
            "query_codes", array[np.newaxis] if array.ndim == 1 else array, allow_empty=True
        )
        check_same_width(queries, self.codes)
        return queries

    def _in_tables(self, radius: int) -> bool:
        return isinstance(self.kind, MultiHash) and radius <= self.kind.radius

    def _found_by_faiss(self, queries: NDArray[np.uint8], count: int) -> WithinRadius:
        """Up to `count` items near each query that an approximate kind finds."""
        distances, positions = self._faiss.search(queries, count)
        there = positions >= 0
        return in_order(there.sum(axis=1), positions[there], distances[there])

    def _surest_first(
        self, found: WithinRadius, sureness: NDArray[np.float32] | None
    ) -> WithinRadius:
        """The same, with equal distances in the order of the query's continuous code."""
        if sureness is None:
            return found
        positions = found.positions.copy()
        for query, row in enumerate(sureness):
            here, distances = found.of(query)
            order = np.lexsort((-self._agreement(here, row), distances))
            positions[found.limits[query] : found.limits[query + 1]] = here[order]
        return found._replace(positions=positions)

    def _nearest(
        self, queries: NDArray[np.uint8], count: int, sureness: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The positions and distances of the `count` items nearest to each query."""
        all_positions = np.empty((len(queries), count), dtype=np.int64)
        all_distances = np.empty((len(queries), count), dtype=np.int32)

        def nearest(query: int, tiles: Iterator[tuple[int, NDArray]]) -> None:
            positions = np.empty(0, dtype=np.int64)
            distances = np.empty(0, dtype=np.min_scalar_type(self.bits))
            for start, tile in tiles:
                here = _smallest(tile, count, ties=sureness is not None)
                # Those found before stay in front: a stable sort keeps the order of the database.
                distances = np.concatenate([distances, tile[here]])
                positions = np.concatenate([positions, here + start])
                order = np.argsort(distances, kind="stable")
                if sureness is None:
                    order = order[:count]
                elif len(order) > count:
                    order = order[distances[order] <= distances[order[count - 1]]]
                positions, distances = positions[order], distances[order]
            if sureness is not None:
                agreement = self._agreement(positions, sureness[query])
                order = np.lexsort((-agreement, distances))[:count]
                positions, distances = positions[order], distances[order]
            all_positions[query], all_distances[query] = positions, distances

        self._scan(queries, nearest)
        return all_positions, all_distances

    def _scan(
        self, queries: NDArray[np.uint8], take: Callable[[int, Iterator[tuple[int, NDArray]]], None]
    ) -> None:
        """Calls `take(query, tiles)` on several threads.

        A tile is a position and the distances from there on, which hold until the next is asked
        for.
        """
        query_words = bit_words(queries)

        def fill(rows: slice) -> None:
            size = min(TILE, len(self))
            kernel = HammingKernel(size, self._words.dtype)
            scratch = np.empty(size, dtype=np.min_scalar_type(self.bits))

            def tiles(query: int) -> Iterator[tuple[int, NDArray]]:
                for start in range(0, len(self), TILE):
                    words = self._words[:, start : start + TILE]
                    tile = scratch[: words.shape[1]]
                    kernel.distances(query_words[:, query], words, out=tile)
                    yield start, tile

            for query in range(*rows.indices(len(queries))):
                take(query, tiles(query))

        for_query_blocks(fill, len(queries))

    def _agreement(
        self, positions: NDArray[np.int64], sureness: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Returns (u·b + Σu) / 2 of one query and the codes at some positions."""
        agreement = np.empty(len(positions), np.float32)
        for start in range(0, len(positions), TILE):
            codes = self.codes[positions[start : start + TILE]]
            weighted = np.unpackbits(codes, axis=1, count=self.bits) * sureness
            # Not a product of BLAS, which may round equal rows differently.
            agreement[start : start + TILE] = weighted.sum(axis=1)
        return agreement

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
        with atomic_write(path) as temporary, temporary.open("xb") as file:
            np.savez(file, allow_pickle=False, **self._arrays())

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
        if self.labels is not None:
            arrays |= _text_arrays("labels", self.labels)
        if self.integer_ids:
            arrays["ids_are_int64"] = np.array(True)
        if self.bits != 8 * self.codes.shape[1]:
            arrays["bits"] = np.array(self.bits)
        if self.kind is not None:
            arrays["kind"] = np.array(self.kind.model_dump_json())
            arrays["faiss"] = (
                faiss(self.kind).serialize_index_binary(self._faiss)
                if self._serialized is None
                else self._serialized
            )
        return arrays

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray], path: Path) -> Self:
        found = str(arrays.get("format", "none"))
        if found != FORMAT:
            raise ValueError(
                f"{str(path)!r} is no index that this version can read: its format must be "
                f"{FORMAT!r}. Received: {found}"
            )
        members = set(arrays) - _OPTIONAL_MEMBERS
        if members >= _KIND_MEMBERS:
            members -= _KIND_MEMBERS
        if members not in (_MEMBERS, _MEMBERS | _LABEL_MEMBERS):
            raise ValueError(f"The index {str(path)!r} is damaged: it holds {sorted(arrays)}")
        try:
            arrays["codes"].flags.writeable = False
            index = cls(
                codes=arrays["codes"],
                ids=_text_column(arrays, "ids"),
                fingerprint=str(arrays["fingerprint"]),
                labels=_text_column(arrays, "labels") if "labels_text" in arrays else None,
                integer_ids=bool(arrays.get("ids_are_int64", False)),
                bits=int(arrays["bits"]) if "bits" in arrays else None,
            )
            if "kind" in arrays:
                index.kind = read_kind(str(arrays["kind"]))
                index._serialized = arrays["faiss"]
            return index
        except ValueError as error:
            raise ValueError(f"The index {str(path)!r} is damaged: {error}") from None


def _smallest(distances: NDArray, count: int, ties: bool) -> NDArray[np.int64]:
    """Returns the positions of the `count` smallest distances (or all), in ascending position.

    Of those equal to the largest of them, the first are taken; with `ties`, all.
    """
    if count >= len(distances):
        return np.arange(len(distances))
    last = np.partition(distances, count - 1)[count - 1]
    if ties:
        return np.flatnonzero(distances <= last)
    nearer = np.flatnonzero(distances < last)
    equal = np.flatnonzero(distances == last)[: count - len(nearer)]
    return np.sort(np.concatenate([nearer, equal]))


# As bytes and lengths: an array of str would give every item the width of the longest.


def _text_arrays(name: str, strings: TextColumn) -> dict[str, NDArray]:
    return {f"{name}_text": strings.text, f"{name}_bytes": strings.lengths}


def _text_column(arrays: dict[str, NDArray], name: str) -> TextColumn:
    try:
        return TextColumn(arrays[f"{name}_text"], arrays.pop(f"{name}_bytes"))
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None


def _read_only(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes that nobody else can write to."""
    if codes.flags.writeable or not codes.flags.owndata:
        codes = codes.copy()
        codes.flags.writeable = False
    return codes


def _refuse(problem: str, names: list[str]) -> None:
    """Raises `ValueError` if there are any such names."""
    if names:
        more = len(names) - _NAMED_AT_MOST
        shown = ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        raise ValueError(f"{problem}: {shown}")


def is_int64(name: str) -> bool:
    """Whether a string is an integer of 64 bits as `str(int)` writes it."""
    try:
        number = int(name)
    except ValueError:
        return False
    return -(2**63) <= number < 2**63 and str(number) == name


def _are_integers(ids: object) -> bool:
    """Whether ids are numbers rather than names: an integer array, a range, a list of ints."""
    if isinstance(ids, np.ndarray):
        return np.issubdtype(ids.dtype, np.integer)
    if isinstance(ids, range):
        return len(ids) > 0
    return (
        isinstance(ids, list | tuple)
        and len(ids) > 0
        and all(isinstance(one, int | np.integer) and not isinstance(one, bool) for one in ids)
    )


def _check_integers(ids: TextColumn) -> None:
    _refuse(
        "With integer_ids, `ids` must be integers of 64 bits. Received",
        [repr(name) for name in ids if not is_int64(name)],
    )


def _check_fingerprint(fingerprint: str) -> str:
    if not isinstance(fingerprint, str) or not fingerprint:
        raise ValueError(
            f"`fingerprint` must be a str that is not empty. Received: fingerprint={fingerprint!r}"
        )
    return fingerprint
