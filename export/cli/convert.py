"""`python -m export index convert`: kinds of an index, and the warning where one is approximate."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from export.index.load_index import load_index_file
from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.printing import out, print_facts
from keras_hashing.retrieval import HNSW, IVF, CodeIndex, MultiHash
from keras_hashing.retrieval.index_kinds import IndexKind


def convert(
    index: Annotated[Path, typer.Option("--index", help="Index file (.npz).")],
    kind: Annotated[
        Literal["flat", "multihash", "ivf", "hnsw"],
        typer.Option(
            help="flat compares with all codes. multihash: the same answers, fast within --radius. "
            "ivf, hnsw: fast for the k nearest, and approximate."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Where to write it. (default: in place of --index)")
    ] = None,
    radius: Annotated[
        int, typer.Option(min=0, help="multihash: the radius up to which it is fast.")
    ] = 2,
    lists: Annotated[
        int | None, typer.Option(min=1, help="ivf: lists. (default: √items)", show_default=False)
    ] = None,
    probes: Annotated[int, typer.Option(min=1, help="ivf: lists that a query sees.")] = 16,
    links: Annotated[int, typer.Option(min=2, help="hnsw: neighbours of a code.")] = 32,
    ef: Annotated[int, typer.Option(min=1, help="hnsw: codes that a search keeps in sight.")] = 64,
) -> None:
    """Change how an index is searched: by comparing with all codes, or by an index of FAISS.

    FAISS's index is saved with the codes. `add` and `remove` keep the kind and make it anew. What
    an approximate kind finds is measured, saved, and told wherever it answers.
    """
    with clear_errors():
        loaded = load_index_file(index)
        chosen: IndexKind | None = None
        if kind == "multihash":
            chosen = MultiHash.of(loaded.codes, radius)
        elif kind == "ivf":
            default = max(1, round(len(loaded) ** 0.5))
            chosen = IVF(lists=default if lists is None else lists, probes=probes)
        elif kind == "hnsw":
            chosen = HNSW(links=links, ef=ef)
        from export.index.certificate import measured

        with out.status(f"Making the index {kind}"):
            converted = measured(loaded.as_kind(chosen))
            target = index if output is None else output
            converted.save(target)
        print_facts({"index": target, "items": f"{len(converted):,}", **kind_facts(converted)})
        warn_if_approximate(converted)


def kind_facts(index: CodeIndex) -> dict[str, str]:
    """The kind of an index, and what it finds."""
    if index.kind is None:
        return {"kind": "flat"}
    if isinstance(index.kind, MultiHash):
        return {"kind": str(index.kind), "finds": f"all within {index.kind.radius}, exactly"}
    return {"kind": str(index.kind), "finds": str(index.kind.recall or "not measured")}


def warn_if_approximate(index: CodeIndex) -> None:
    """Warns before answers that may lack what is there, with the recall that was measured."""
    if index.kind is not None and index.kind.approximate:
        found = index.kind.recall
        warn(
            "[bold yellow]Warning:[/]",
            f"The index is approximate ({index.kind}): "
            + (
                "its recall was not measured. "
                if found is None
                else f"it had {found} on queries "
                f"two bits off its codes ({found.queries:,} of them). "
            )
            + "`index convert --kind flat` makes it exact",
        )
