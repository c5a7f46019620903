"""Every store gives back what was written, and finds what the index finds."""

from collections.abc import Callable

import faiss
import numpy as np
import psycopg
import pyarrow.parquet
import pytest

from export.stores import FaissStore, ParquetStore, PgvectorStore, Store
from keras_hashing.retrieval import CodeIndex, hamming_distance

KINDS = ["faiss", "parquet", "pgvector"]
Make = Callable[[str], Store]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("integer_ids", [False, True])
def test_what_is_written_is_read_back(
    kind: str, integer_ids: bool, index: CodeIndex, make_store: Make
) -> None:
    if integer_ids:
        ids = [str(7 * position - 1000) for position in range(len(index))]
        index = CodeIndex(index.codes, ids, "other", integer_ids=True)
    store = make_store(kind)
    store.write(index)
    found = store.read()
    np.testing.assert_array_equal(found.codes, index.codes)
    assert list(found.ids) == list(index.ids)
    assert found.fingerprint == index.fingerprint == store.metadata().fingerprint
    assert found.integer_ids == integer_ids
    assert (found.labels and list(found.labels)) == (index.labels and list(index.labels))


@pytest.mark.parametrize("kind", KINDS)
def test_the_answers_are_as_near_as_those_of_the_index(
    kind: str, index: CodeIndex, make_store: Make
) -> None:
    store = make_store(kind)
    store.write(index)
    queries = index.codes[:40] ^ np.uint8(5)
    for query, ids, exact in zip(
        queries, store.search(queries, 12), index.search(queries, 12)[1], strict=True
    ):
        positions = index.ids.positions_of(list(ids))
        assert len(positions) == 12
        found = hamming_distance(query[np.newaxis], index.codes[list(positions.values())])[0]
        assert sorted(found) == sorted(exact)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_replaced_unasked(kind: str, index: CodeIndex, make_store: Make) -> None:
    store = make_store(kind)
    store.write(index)
    smaller = index.remove(list(index.ids)[:100])
    with pytest.raises(FileExistsError, match="exists? already.*--replace"):
        store.write(smaller)
    assert len(make_store(kind).read()) == 300
    again = make_store(kind)
    again.write(smaller, replace=True)
    assert list(again.read().ids) == list(smaller.ids)


def test_faiss_reads_its_own_file(index: CodeIndex, tmp_path) -> None:
    FaissStore(tmp_path).write(index)
    flat = faiss.read_index_binary(str(tmp_path / "codes.faiss"))
    distances, _ = flat.search(index.codes[:5], 3)
    np.testing.assert_array_equal(distances, index.search(index.codes[:5], 3)[1])


def test_files_that_do_not_belong_together_are_refused(index: CodeIndex, tmp_path) -> None:
    FaissStore(tmp_path / "one").write(index)
    FaissStore(tmp_path / "two").write(index.remove([index.ids[0]]))
    (tmp_path / "one" / "codes.faiss").replace(tmp_path / "two" / "codes.faiss")
    with pytest.raises(ValueError, match="must hold the codes of one index"):
        FaissStore(tmp_path / "two").read()
    (tmp_path / "two" / "codes.faiss").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"codes\.faiss' is no file of FAISS, or damaged"):
        FaissStore(tmp_path / "two").read()


def test_a_parquet_file_of_another_program_is_refused(index: CodeIndex, tmp_path) -> None:
    path = tmp_path / "items.parquet"
    store = ParquetStore(path)
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*items\.parquet'"):
        store.read()
    store.write(index)
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(ValueError, match="does not say which code space its codes are of"):
        store.read()
    pyarrow.parquet.write_table(table.slice(0, 100), path)
    with pytest.raises(ValueError, match="must hold the 300 items that were written.*100"):
        store.read()
    pyarrow.parquet.write_table(table.drop_columns("label"), path)
    with pytest.raises(ValueError, match=r"must have the columns code, id, label"):
        store.read()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="is no Parquet file, or damaged"):
        store.read()


def test_a_failed_write_leaves_the_table_as_it_was(
    index: CodeIndex, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PgvectorStore(dsn, "kept")
    store.write(index)
    rows = [(0, "a", "0" * 24, ""), (1, "b", "0" * 23, "")]  # the second is a bit too short
    with monkeypatch.context() as patch:
        patch.setattr("export.stores.pgvector._rows", lambda index: rows)
        with pytest.raises(ValueError, match="The database refuses: .*length 23"):
            store.write(index, replace=True)
    assert list(store.read().ids) == list(index.ids)


def test_items_deleted_by_sql_are_gone(index: CodeIndex, dsn: str) -> None:
    store = PgvectorStore(dsn, "shrinking", hnsw=True)
    store.write(index)
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM shrinking WHERE position < 10")
    assert list(store.read().ids) == list(index.ids)[10:]


def test_what_is_wrong_with_a_database_is_said(index: CodeIndex, dsn: str) -> None:
    with pytest.raises(ConnectionError, match="The database cannot be reached"):
        PgvectorStore("postgresql://nobody@127.0.0.1:1/none", "items").read()
    with pytest.raises(ValueError, match="The database has no table 'absent'"):
        PgvectorStore(dsn, "absent").read()
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE foreigner (id bigint)")
    with pytest.raises(ValueError, match="The table 'foreigner' does not say|the table"):
        PgvectorStore(dsn, "foreigner").read()
