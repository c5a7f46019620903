"""An index as a Parquet file, which DuckDB and others search as it is.

Columns: `id` (int64 or string), `code` (fixed-size binary, K bits packed most significant bit
first) and, if there are labels, `label`. The rows are in the order of the index.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.stores.metadata import KEY, StoreMetadata
from export.stores.store import Store
from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.packed_width import packed_width

ROW_GROUP = 1 << 17  # items

# What DuckDB is asked for the nearest items: file, packed query and k are its parameters.
NEAREST = """\
SELECT id, bit_count(xor(code::BLOB::BIT, $query::BLOB::BIT)) AS distance
FROM read_parquet($file, file_row_number = true)
ORDER BY distance, file_row_number
LIMIT $k"""


class ParquetStore(Store):
    """A Parquet file.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return repr(str(self.path))

    def write(self, index: CodeIndex, replace: bool = False) -> None:
        """One file; see `Store.write`."""
        import pyarrow
        import pyarrow.parquet

        if self.path.exists() and not replace:
            raise FileExistsError(f"The file exists already: {self.path}. --replace replaces it")
        columns = {
            "id": index.id_numbers() if index.integer_ids else pyarrow.array(index.ids),
            "code": pyarrow.FixedSizeBinaryArray.from_buffers(
                pyarrow.binary(index.codes.shape[1]),
                len(index),
                [None, pyarrow.py_buffer(index.codes)],
            ),
        }
        if index.labels is not None:
            columns["label"] = pyarrow.array(index.labels)
        metadata = {KEY: StoreMetadata.of(index).model_dump_json()}
        table = pyarrow.table(columns).replace_schema_metadata(metadata)
        with atomic_write(self.path) as temporary:
            pyarrow.parquet.write_table(table, temporary, row_group_size=ROW_GROUP)

    def metadata(self) -> StoreMetadata:
        """From the footer of the file; see `Store.metadata`."""
        import pyarrow.parquet

        with self._clear_errors():
            schema = pyarrow.parquet.read_schema(self.path)
        return StoreMetadata.parse((schema.metadata or {}).get(KEY.encode()), str(self))

    def read(self) -> CodeIndex:
        """All rows; see `Store.read`."""
        import pyarrow.parquet

        metadata = self.metadata()
        with self._clear_errors():
            table = pyarrow.parquet.read_table(self.path)
        metadata.check_items(table.num_rows, str(self))
        width = packed_width(metadata.bits)
        wanted = {"id", "code", *(["label"] if metadata.labels else [])}
        if wanted - set(table.column_names) or table.schema.field("code").type != (
            pyarrow.binary(width)
        ):
            raise ValueError(
                f"{self} must have the columns {', '.join(sorted(wanted))}, the codes of {width} "
                f"bytes. Received: {', '.join(f'{at.name} {at.type}' for at in table.schema)}"
            )
        codes = np.frombuffer(b"".join(table["code"].to_pylist()), np.uint8)
        return CodeIndex(
            codes.reshape(-1, width),
            [str(name) for name in table["id"].to_pylist()],
            metadata.fingerprint,
            table["label"].to_pylist() if metadata.labels else None,
            metadata.ids == "int64",
            metadata.bits,
        )

    def search(self, codes: NDArray[np.uint8], k: int) -> list[Sequence[str]]:
        """By DuckDB; see `Store.search`."""
        import duckdb

        answers: list[Sequence[str]] = []
        with duckdb.connect() as connection:
            for code in codes:
                parameters = {"file": str(self.path), "query": code.tobytes(), "k": k}
                rows = connection.execute(NEAREST, parameters).fetchall()
                answers.append([str(row[0]) for row in rows])
        return answers

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        import pyarrow

        if not self.path.is_file():
            raise FileNotFoundError(f"There is no file {self}")
        try:
            yield
        except pyarrow.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{self} is no Parquet file, or damaged: {reason}") from None
