"""The vectors of a Parquet file, a part at a time."""

import itertools
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

_BATCH = 4096  # rows that are decoded at a time
_BUFFER = 1 << 20  # bytes


class ParquetVectors:
    """The column `vector` of a Parquet file, lists of D numbers, as float32 [n, D].

    Slices that follow each other stream; any other begins at its row group. An integer array,
    which may ask for any rows, first copies the column to a temporary file.

    Args:
        path: the file.

    Raises:
        ValueError: if it is no Parquet file, or has no such column.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path) -> None:
        self._path = path
        # By default pyarrow reads the whole column of a row group, which may be the whole file.
        self._file = pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        metadata = self._file.metadata
        sizes = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        self._ends = list(itertools.accumulate(sizes))
        self.shape = (metadata.num_rows, self._width())
        self._at = -1  # the row that `_rest`, and after it `_parts`, goes on with
        self._rest = np.empty((0, self.shape[1]), self.dtype)
        self._parts: Iterator[NDArray[np.float32]] = iter(())

    def __len__(self) -> int:
        return self.shape[0]

    def column(self, name: str) -> list | None:
        """All values of another column; `None` if there is none."""
        if name not in self._file.schema_arrow.names:
            return None
        return self._file.read([name]).column(name).to_pylist()

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """Rows of a slice whose step is 1, or at positions."""
        if not isinstance(rows, slice):
            return self._copy[rows]
        start, stop, _ = rows.indices(self.shape[0])
        if start != self._at:
            self._rest, self._parts = self._rest[:0], self._from(start)
        parts, missing = [self._rest], stop - start - len(self._rest)
        while missing > 0:
            parts.append(next(self._parts))
            missing -= len(parts[-1])
        vectors = np.concatenate(parts)
        self._at, self._rest = stop, vectors[stop - start :]
        return vectors[: stop - start]

    def _width(self) -> int:
        """D: that of the type, or of the first list."""
        schema, types = self._file.schema_arrow, pyarrow.types
        of = schema.field("vector").type if "vector" in schema.names else pyarrow.null()
        fixed = types.is_fixed_size_list(of)
        is_list = fixed or types.is_list(of) or types.is_large_list(of)
        if not (is_list and (types.is_floating(of.value_type) or types.is_integer(of.value_type))):
            raise ValueError(
                "it must have a column `vector` of lists of numbers. Received: "
                + ", ".join(f"{field.name} {field.type}" for field in schema)
            )
        if fixed:
            return of.list_size
        for batch in self._file.iter_batches(1, columns=["vector"]):
            return len(batch["vector"][0].as_py() or ())
        return 0

    def _from(self, start: int) -> Iterator[NDArray[np.float32]]:
        """All vectors from row `start` on, in parts."""
        group = bisect_right(self._ends, start)
        at = self._ends[group - 1] if group else 0
        groups = range(group, len(self._ends))
        for batch in self._file.iter_batches(_BATCH, row_groups=groups, columns=["vector"]):
            if at + len(batch) > start:
                yield self._numbers(batch["vector"], at)[max(0, start - at) :]
            at += len(batch)

    def _numbers(self, lists: pyarrow.Array, first: int) -> NDArray[np.float32]:
        """The lists as an array; a number that is missing is NaN."""
        lengths = pyarrow.compute.list_value_length(lists).fill_null(0).to_numpy()
        wrong = np.flatnonzero(lengths != self.shape[1])
        if len(wrong):
            raise ValueError(
                f"{self._path}: vectors must have {self.shape[1]} values each. "
                f"Received: {lengths[wrong[0]]} in row {first + wrong[0]}"
            )
        numbers = lists.flatten().to_numpy(zero_copy_only=False)
        return numbers.reshape(len(lists), -1).astype(self.dtype, copy=False)

    @cached_property
    def _copy(self) -> NDArray[np.float32]:
        with tempfile.TemporaryFile() as file:
            copy = np.memmap(file, self.dtype, "w+", shape=self.shape)
        at = 0
        for part in self._from(0):
            copy[at : at + len(part)] = part
            at += len(part)
        return copy
