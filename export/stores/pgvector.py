"""An index as a table of PostgreSQL with pgvector 0.7 or later.

Columns: `position` (the order of the index, primary key), `id` (bigint or text, unique), `code`
(`bit(K)`) and, if there are labels, `label`. The comment of the table says what the codes are.
`code <~> query` is the Hamming distance.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.stores.metadata import StoreMetadata
from export.stores.store import Store
from keras_hashing.retrieval import CodeIndex

_BLOCK = 1 << 14  # items at a time
_OLDEST = (0, 7)  # the first pgvector with bit and <~>
_MOST_CANDIDATES = 1000  # that pgvector allows hnsw.ef_search to be


class PgvectorStore(Store):
    """A table of PostgreSQL. Items may be deleted from it by SQL: `read` gives what is left.

    Args:
        dsn: how to connect, such as "postgresql://user@host/database".
        hnsw: whether `write` makes an HNSW index, by which searches are approximate and fast.
        ef_search: pgvector's `hnsw.ef_search` in searches; `None` for k, and at least 40.
    """

    def __init__(
        self, dsn: str, table: str, hnsw: bool = False, ef_search: int | None = None
    ) -> None:
        self.dsn = dsn
        self.table = table
        self.hnsw = hnsw
        self.ef_search = ef_search

    def __str__(self) -> str:
        return f"the table {self.table!r}"

    def write(self, index: CodeIndex, replace: bool = False) -> None:
        """One transaction; see `Store.write`.

        Raises:
            ConnectionError: if the database cannot be reached.
            ValueError: if it has no pgvector of 0.7 or later, or refuses the table.
        """
        metadata = StoreMetadata.of(index)
        sql, name = self._sql, self._name
        with self._connected() as connection:
            _check_pgvector(connection)
            if self._exists(connection):
                if not replace:
                    raise FileExistsError(
                        f"The table {self.table!r} exists already. --replace replaces it"
                    )
                connection.execute(sql.SQL("DROP TABLE {}").format(name))
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (position bigint PRIMARY KEY, id {} UNIQUE NOT NULL, "
                    "code bit({}) NOT NULL{})"
                ).format(
                    name,
                    sql.SQL("bigint" if index.integer_ids else "text"),
                    sql.Literal(metadata.bits),
                    sql.SQL(", label text" if metadata.labels else ""),
                )
            )
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                for row in _rows(index):
                    copy.write_row(row)
            if self.hnsw:
                connection.execute(
                    sql.SQL("CREATE INDEX ON {} USING hnsw (code bit_hamming_ops)").format(name)
                )
            comment = sql.Literal(metadata.model_dump_json())
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, comment))

    def metadata(self) -> StoreMetadata:
        """From the comment of the table; see `Store.metadata`."""
        with self._connected() as connection:
            return self._metadata(connection)

    def read(self) -> CodeIndex:
        """The rows there are; see `Store.read`."""
        sql = self._sql
        with self._connected() as connection:
            metadata = self._metadata(connection)
            columns = sql.SQL("id, code::text" + (", label" if metadata.labels else ""))
            query = sql.SQL("SELECT {} FROM {} ORDER BY position").format(columns, self._name)
            rows = connection.execute(query).fetchall()
        text = "".join(row[1] for row in rows).encode()
        bits = (np.frombuffer(text, np.uint8) - ord("0")).reshape(len(rows), metadata.bits)
        return CodeIndex(
            np.packbits(bits, axis=1),
            [str(row[0]) for row in rows],
            metadata.fingerprint,
            [row[2] for row in rows] if metadata.labels else None,
            metadata.ids == "int64",
            metadata.bits,
        )

    def search(self, codes: NDArray[np.uint8], k: int) -> list[Sequence[str]]:
        """By the HNSW index if the table has one, else exactly; see `Store.search`."""
        sql = self._sql
        candidates = max(40, k) if self.ef_search is None else self.ef_search
        with self._connected() as connection:
            bits = self._metadata(connection).bits
            connection.execute(
                sql.SQL("SET LOCAL hnsw.ef_search = {}").format(
                    sql.Literal(min(_MOST_CANDIDATES, candidates))
                )
            )
            query = sql.SQL("SELECT id FROM {} ORDER BY code <~> %s::bit({}) LIMIT {}").format(
                self._name, sql.Literal(bits), sql.Literal(k)
            )
            return [
                [str(row[0]) for row in connection.execute(query, [text])]
                for text in _bit_strings(codes, bits)
            ]

    @property
    def _sql(self) -> Any:
        from psycopg import sql

        return sql

    @property
    def _name(self) -> Any:
        return self._sql.Identifier(self.table)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A connection whose transaction is committed if the block succeeds."""
        import psycopg

        try:
            connection = psycopg.connect(self.dsn, connect_timeout=10)
        except psycopg.Error as error:
            raise ConnectionError(f"The database cannot be reached: {error}".strip()) from None
        try:
            with connection:
                yield connection
        except psycopg.OperationalError as error:
            raise ConnectionError(f"The database broke off: {error}".strip()) from None
        except psycopg.Error as error:
            raise ValueError(f"The database refuses: {error}".strip()) from None

    def _exists(self, connection: Any) -> bool:
        query = "SELECT to_regclass(quote_ident(%s)) IS NOT NULL"
        return connection.execute(query, [self.table]).fetchone()[0]

    def _metadata(self, connection: Any) -> StoreMetadata:
        if not self._exists(connection):
            raise ValueError(f"The database has no table {self.table!r}")
        query = "SELECT obj_description(to_regclass(quote_ident(%s)), 'pg_class')"
        (comment,) = connection.execute(query, [self.table]).fetchone()
        return StoreMetadata.parse(comment, str(self))


def _check_pgvector(connection: Any) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    (version,) = connection.execute(query).fetchone()
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise ValueError(
            f"The database needs pgvector 0.7 or later, which has bit and <~>. Received: {version}"
        )


def _rows(index: CodeIndex) -> Iterator[tuple]:
    labels = index.labels
    for start in range(0, len(index), _BLOCK):
        texts = _bit_strings(index.codes[start : start + _BLOCK], index.bits)
        for position, text in enumerate(texts, start):
            row = (position, index.ids[position], text)
            yield row if labels is None else (*row, labels[position])


def _bit_strings(codes: NDArray[np.uint8], bits: int) -> list[str]:
    """Packed codes as PostgreSQL writes bits, such as "0101"."""
    digits = np.unpackbits(codes, axis=1, count=bits) + ord("0")
    return [row.tobytes().decode() for row in digits]
