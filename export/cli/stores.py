"""`python -m export index export`, `import` and `verify`: other stores, and what they find."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.printing import print_facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.index.certificate import Search
    from export.stores import Store
    from keras_hashing.retrieval import CodeIndex

StoreKind = Literal["faiss", "parquet", "pgvector"]

_STORE = "Store"
_SERVER = "Running server"
_QUERIES = "Queries"

IndexOption = Annotated[
    Path, typer.Option("--index", help="Index file (.npz), or the folder of a finished run.")
]
PathOption = Annotated[
    Path | None,
    typer.Option("--path", help="parquet: the file. faiss: the folder.", rich_help_panel=_STORE),
]
DsnOption = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        help="pgvector: the database, such as postgresql://user@host/database; the password may "
        "be in PGPASSWORD.",
        rich_help_panel=_STORE,
    ),
]
TableOption = Annotated[
    str | None, typer.Option("--table", help="pgvector: the table.", rich_help_panel=_STORE)
]


def export_index(
    index: IndexOption,
    to: Annotated[StoreKind, typer.Option(help="The store.", rich_help_panel=_STORE)],
    path: PathOption = None,
    dsn: DsnOption = None,
    table: TableOption = None,
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
) -> None:
    """Write an index into another store, whole or not at all.

    parquet: one file, which DuckDB searches. faiss: a folder with FAISS's own file. pgvector: a
    table of PostgreSQL. The fingerprint, the length and the bit order of the codes travel with
    them.
    """
    with clear_errors():
        from export.index.load_index import load_index

        store = _store(to, path, dsn, table, hnsw)
        loaded = load_index(index)
        store.write(loaded, replace)
        print_facts({"written": f"{len(loaded):,} items", "to": store})


def import_index(
    from_: Annotated[StoreKind, typer.Option("--from", help="The store.", rich_help_panel=_STORE)],
    output: Annotated[Path, typer.Option(help="Index file (.npz) to write.")],
    path: PathOption = None,
    dsn: DsnOption = None,
    table: TableOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing index.")] = False,
) -> None:
    """Make an index file of what `index export` wrote into a store."""
    with clear_errors():
        store = _store(from_, path, dsn, table)
        if output.exists() and not replace:
            raise FileExistsError(f"The index exists already: {output}. --replace replaces it")
        index = store.read()
        index.save(output)
        print_facts({"index": output, "items": f"{len(index):,}", "code space": index.fingerprint})


def verify_index(
    index: IndexOption,
    against: Annotated[
        Literal["faiss", "parquet", "pgvector", "server"],
        typer.Option(help="What answers.", rich_help_panel=_STORE),
    ],
    path: PathOption = None,
    dsn: DsnOption = None,
    table: TableOption = None,
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
    queries: Annotated[
        int, typer.Option(min=1, help="Items to search with.", rich_help_panel=_QUERIES)
    ] = 1000,
    flips: Annotated[
        int,
        typer.Option(min=0, help="Bits flipped in the code of each.", rich_help_panel=_QUERIES),
    ] = 2,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of both draws.", rich_help_panel=_QUERIES)
    ] = 0,
    k: Annotated[int, typer.Option(min=1, help="Items that each query asks for.")] = 10,
    radius: Annotated[int, typer.Option(min=0, help="Hamming radius of the second figure.")] = 2,
    limit: Annotated[
        float,
        typer.Option(min=0, max=1, help="Lowest mean recall@k; below it the exit code is 1."),
    ] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how many of the true nearest items a store or a server finds.

    Searches with codes of items, a few bits flipped, and compares with an exact search of --index.
    Equal distances count as equal. The intervals hold with 95% confidence for any distribution.
    The exit code is 0 when the limit holds, 1 when it is broken and 2 for any error.
    """
    try:
        with clear_errors():
            from export.index.certificate import certify, draw_queries
            from export.index.load_index import load_index

            if against == "server":
                loaded = load_index(index)
                search = _served(server, name, loaded)
            else:
                store = _store(against, path, dsn, table, ef_search=ef_search)
                loaded = load_index(index)
                loaded.check_fingerprint(store.metadata().fingerprint)
                search = store.search
            drawn = draw_queries(loaded, queries, flips, seed)
            found = certify(loaded, search, drawn, k, radius)
    except typer.Exit:
        raise typer.Exit(2) from None
    holds = found.at_k.mean >= limit
    if as_json:
        print(json.dumps({**asdict(found), "limit": limit, "holds": holds}, indent=2))
    else:
        shares = {f"recall@{k}": found.at_k, f"within {radius}": found.within_radius}
        print_facts(
            {"items": f"{len(loaded):,}", "queries": f"{len(drawn):,}, {flips} bits flipped"}
            | {
                title: f"{share.mean:.4f}  [{share.low:.4f}, {share.high:.4f}]"
                f"  ({share.queries:,} queries)"
                for title, share in shares.items()
            }
        )
    if not holds:
        warn("[bold red]Limit broken:[/]", f"recall@{k} {found.at_k.mean:.4f} is below {limit:g}")
        raise typer.Exit(1)


def _store(
    kind: str,
    path: Path | None,
    dsn: str | None,
    table: str | None,
    hnsw: bool = False,
    ef_search: int | None = None,
) -> "Store":
    """The store that the options name."""
    from export.stores import FaissStore, ParquetStore, PgvectorStore

    if kind == "pgvector":
        if dsn is None or table is None or path is not None:
            raise ValueError("The store pgvector needs --dsn and --table, and no --path")
        return PgvectorStore(dsn, table, hnsw, ef_search)
    if path is None or dsn is not None or table is not None:
        raise ValueError(f"The store {kind} needs --path, and neither --dsn nor --table")
    if hnsw or ef_search is not None:
        raise ValueError(f"--hnsw and --ef-search are of the store pgvector. Received: {kind}")
    return FaissStore(path) if kind == "faiss" else ParquetStore(path)


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
