"""`python -m export index duplicates`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from export.cli.index_options import AnyIndexOption
from export.cli.page import SheetOptions
from export.index.load_index import load_index
from keras_hashing.command_line.errors import clear_errors
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import print_facts
from keras_hashing.command_line.progress import loading_progress


@with_options(*options_of(SheetOptions))
def duplicates(
    index: AnyIndexOption,
    output: Annotated[Path, typer.Option(help="Folder for clusters.csv; made if need be.")],
    radius: Annotated[
        int, typer.Option(min=0, help="Largest Hamming distance of two near-duplicates.")
    ] = 2,
    keep: Annotated[
        Literal["all", "first"],
        typer.Option(
            help="'first' writes delete.txt as well: the ids of all items of a cluster but its "
            "first in the order of the index. `index remove --ids-file` takes it."
        ),
    ] = "all",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted search.")] = False,
    **values: Any,
) -> None:
    """Find near-duplicates: all items within a Hamming radius of each other, in clusters.

    The search is exact. A cluster holds what a chain of near pairs connects, so its ends may lie
    farther apart than the radius.
    """
    with clear_errors():
        from export.index.duplicates import find_duplicates

        sheet = SheetOptions.among(values).refuse_early(index)
        loaded = load_index(index)
        found = find_duplicates(
            loaded,
            radius,
            output,
            keep_first=keep == "first",
            resume=resume,
            progress=partial(loading_progress, "Searching"),
        )
        if sheet.html is not None:
            from export.page.pictures import open_pictures
            from export.page.query_sheet import write_cluster_sheet

            names = [loaded.ids[cluster[0]] for cluster in found.clusters]
            pictures = open_pictures(sheet.pictures, index, names)
            write_cluster_sheet(sheet.html, loaded, found.clusters, pictures)
        in_clusters = sum(map(len, found.clusters))
        print_facts(
            {
                "items": f"{len(loaded):,}, {found.different_codes:,} different codes",
                "pairs": f"{found.pairs:,} of different codes",
                "clusters": f"{len(found.clusters):,} with {in_clusters:,} items",
                "largest": f"{max(map(len, found.clusters), default=0):,} items",
                "removable": f"{len(found.removable):,} items, if one of each cluster stays",
                "written": output,
            }
        )
