"""`python -m export index export`, `import` and `verify`: other stores, and what they find."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ConfigDict, Field

from export.cli.index_options import AnyIndexOption
from export.index.load_index import check_no_index, load_index
from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import print_facts
from keras_hashing.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.index.certificate import Search
    from export.stores import Store
    from keras_hashing.retrieval import CodeIndex

StoreKind = Literal["faiss", "parquet", "pgvector"]

_STORE = "Store"
_SERVER = "Running server"


class StoreOptions(Settings):
    """Where a store is."""

    model_config = ConfigDict(title="Store")

    path: Path | None = None
    """parquet: the file. faiss: the folder."""
    dsn: str | None = None
    """pgvector: the database, such as postgresql://user@host/database; the password may be in
    PGPASSWORD."""
    table: str | None = None
    """pgvector: the table."""

    def open(self, kind: str, hnsw: bool = False, ef_search: int | None = None) -> "Store":
        """The store that the options name."""
        from export.stores import FaissStore, ParquetStore, PgvectorStore

        if kind == "pgvector":
            if self.dsn is None or self.table is None or self.path is not None:
                raise ValueError("The store pgvector needs --dsn and --table, and no --path")
            return PgvectorStore(self.dsn, self.table, hnsw, ef_search)
        if self.path is None or self.dsn is not None or self.table is not None:
            raise ValueError(f"The store {kind} needs --path, and neither --dsn nor --table")
        if hnsw or ef_search is not None:
            raise ValueError(f"--hnsw and --ef-search are of the store pgvector. Received: {kind}")
        return FaissStore(self.path) if kind == "faiss" else ParquetStore(self.path)


class QueryOptions(Settings):
    """What is searched with, and for."""

    model_config = ConfigDict(title="Queries")

    queries: int = Field(default=1000, ge=1)
    """Items to search with."""
    flips: int = Field(default=2, ge=0)
    """Bits flipped in the code of each."""
    seed: int = Field(default=0, ge=0)
    """Seed of both draws."""
    k: int = Field(default=10, ge=1)
    """Items that each query asks for."""
    radius: int = Field(default=2, ge=0)
    """Hamming radius of the second figure."""


@with_options(*options_of(StoreOptions))
def export_index(
    index: AnyIndexOption,
    to: Annotated[StoreKind, typer.Option(help="The store.", rich_help_panel=_STORE)],
    hnsw: Annotated[
        bool,
        typer.Option(
            "--hnsw",
            help="pgvector: make an HNSW index as well: searches become fast and approximate.",
            rich_help_panel=_STORE,
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what exists.", rich_help_panel=_STORE)
    ] = False,
    **values: Any,
) -> None:
    """Write an index into another store, whole or not at all.

    parquet: one file, which DuckDB searches. faiss: a folder with FAISS's own file. pgvector: a
    table of PostgreSQL. The fingerprint, the length and the bit order of the codes travel with
    them.
    """
    with clear_errors():
        store = StoreOptions.among(values).open(to, hnsw)
        loaded = load_index(index)
        store.write(loaded, replace)
        print_facts({"written": f"{len(loaded):,} items", "to": store})


@with_options(*options_of(StoreOptions))
def import_index(
    from_: Annotated[StoreKind, typer.Option("--from", help="The store.", rich_help_panel=_STORE)],
    output: Annotated[Path, typer.Option(help="Index file (.npz) to write.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing index.")] = False,
    **values: Any,
) -> None:
    """Make an index file of what `index export` wrote into a store."""
    with clear_errors():
        store = StoreOptions.among(values).open(from_)
        if not replace:
            check_no_index(output)
        index = store.read()
        index.save(output)
        print_facts({"index": output, "items": f"{len(index):,}", "code space": index.fingerprint})


@with_options(*options_of(StoreOptions), *options_of(QueryOptions))
def verify_index(
    index: AnyIndexOption,
    against: Annotated[
        Literal["index", "faiss", "parquet", "pgvector", "server"],
        typer.Option(
            help="What answers; 'index' is --index by its own kind.", rich_help_panel=_STORE
        ),
    ],
    ef_search: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="pgvector: hnsw.ef_search. (default: k, at least 40)",
            rich_help_panel=_STORE,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="server: where TensorFlow Serving serves the model with this index, over gRPC.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="server: the model's name.", rich_help_panel=_SERVER)
    ] = None,
    limit: Annotated[
        float,
        typer.Option(min=0, max=1, help="Lowest mean recall@k; below it the exit code is 1."),
    ] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **values: Any,
) -> None:
    """Measure how many of the true nearest items a store or a server finds.

    Searches with codes of items, a few bits flipped, and compares with an exact search of --index.
    Equal distances count as equal. The intervals hold with 95% confidence for any distribution.
    The exit code is 0 when the limit holds, 1 when it is broken and 2 for any error.
    """
    try:
        with clear_errors():
            from export.index.certificate import certify, draw_queries, own_search

            asked = QueryOptions.among(values)
            if against == "server":
                loaded = load_index(index)
                search = _served(server, name, loaded)
            elif against == "index":
                loaded = load_index(index)
                search = own_search(loaded)
            else:
                store = StoreOptions.among(values).open(against, ef_search=ef_search)
                loaded = load_index(index)
                store.metadata().check_index(loaded, str(store))
                search = store.search
            drawn = draw_queries(loaded, asked.queries, asked.flips, asked.seed)
            found = certify(loaded, search, drawn, asked.k, asked.radius)
    except typer.Exit:
        raise typer.Exit(2) from None
    holds = found.at_k.mean >= limit
    if as_json:
        print(json.dumps({**asdict(found), "limit": limit, "holds": holds}, indent=2))
    else:
        shares = {f"recall@{found.k}": found.at_k, f"within {found.radius}": found.within_radius}
        print_facts(
            {"items": f"{len(loaded):,}", "queries": f"{len(drawn):,}, {asked.flips} bits flipped"}
            | {
                title: f"{share.mean:.4f}  [{share.low:.4f}, {share.high:.4f}]"
                f"  ({share.queries:,} queries)"
                for title, share in shares.items()
            }
        )
    if not holds:
        warn(
            "[bold red]Limit broken:[/]",
            f"recall@{found.k} {found.at_k.mean:.4f} is below {limit:g}",
        )
        raise typer.Exit(1)


def _served(server: str | None, name: str | None, index: "CodeIndex") -> "Search":
    """The search of a running server, whose codes must be those of the index's model."""
    from keras_hashing.client import Client

    if server is None or name is None:
        raise ValueError("--against server needs --server and --name")
    client = Client(server, name, fingerprint=index.fingerprint)
    client.model_card()  # says so when the code space is another

    def search(codes: "NDArray[np.uint8]", k: int) -> list[list[str]]:
        ids, distances = client.search(codes, k)
        return [
            [str(name) for name, distance in zip(*row, strict=True) if distance >= 0]
            for row in zip(ids.tolist(), distances.tolist(), strict=True)
        ]

    return search
