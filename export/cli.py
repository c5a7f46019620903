"""`python -m export`: the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from training.command_line import clear_errors, start_tensorflow, warn

if TYPE_CHECKING:
    from export.served_encoder import EncodedFiles
    from keras_hashing.retrieval import CodeIndex

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Export trained hash models, and use what was exported.",
)
_out = Console()

_MODEL = "Model"
_SEARCH = "Search"
_OUTPUT = "Output"


@app.command(
    name="saved-model",
    epilog="Example: python -m export saved-model --run runs/fashion --output models/fashion",
)
def saved_model(
    run: Annotated[
        Path,
        typer.Option(
            help="Folder of a finished run, as `python -m training fit --output` wrote it.",
            rich_help_panel=_MODEL,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="Folder of the served model; made if need be. The SavedModel becomes a numbered "
            "version in it.",
            rich_help_panel=_OUTPUT,
        ),
    ],
    version: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of the version; an existing one is never overwritten. "
            "(default: one above the highest there)",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
) -> None:
    """Write a run as a SavedModel for TensorFlow Serving.

    Signatures: encode, also the serving_default (images → packed codes), encode_bytes (JPEG or
    PNG strings → packed codes) and continuous (images → continuous codes). Preprocessing is in
    the graph, which holds standard TensorFlow ops only. assets.extra/card.json describes it.
    """
    with clear_errors():
        start_tensorflow()
        from export.saved_model import SIGNATURES, export_saved_model
        from training.runs import load_run

        loaded = load_run(run)
        folder = export_saved_model(loaded, output, version)
        _print_facts(
            {
                "SavedModel": folder,
                "signatures": ", ".join(SIGNATURES),
                "bits": loaded.model.bits,
                "code space": loaded.fingerprint,
            }
        )


@app.command(
    epilog="Example: python -m export query --model models/fashion --index runs/fashion --k 5 "
    "coat.png photos/",
)
def query(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            exists=True,
            help="Image files, or folders of them (with their subfolders; hidden files are left "
            "out).",
        ),
    ],
    model: Annotated[
        Path,
        typer.Option(
            help="Folder of an exported model: one version, or all of them, of which the highest "
            "is taken.",
            rich_help_panel=_MODEL,
        ),
    ],
    index: Annotated[
        Path,
        typer.Option(
            help="What to search in: the folder of a finished run (its database), or an index "
            "file (.npz). It must be of the model's code space.",
            rich_help_panel=_SEARCH,
        ),
    ],
    k: Annotated[
        int, typer.Option(min=1, help="Database images to show.", rich_help_panel=_SEARCH)
    ] = 10,
    radius: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Show only what lies within this Hamming distance. (default: any distance)",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object instead of tables.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    on_bad_image: Annotated[
        Literal["error", "skip"],
        typer.Option(
            help="At a file that cannot be read or is no image: stop, or leave it out with a "
            "warning.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "error",
) -> None:
    """Encode images with an exported model and find the nearest in a database.

    Prints each image's code in hexadecimal, most significant bit first, and its neighbours by
    Hamming distance; equal distances come in the order of the database.
    """
    with clear_errors():
        start_tensorflow()
        from export.card import Card
        from export.served_encoder import ServedEncoder, version_folder

        files = _image_files(images)
        database = _load_index(index)
        database.check_fingerprint(Card.load(version_folder(model)).fingerprint)
        encoded = ServedEncoder.load(model).encode_files(files, on_bad_image=on_bad_image)
        answers = _answers(encoded, database, k, radius)
        for path, problem in encoded.skipped.items():
            warn("[bold yellow]Skipped:[/]", f"{str(path)!r} {problem}")
        if encoded.skipped:
            warn("[bold yellow]Skipped[/]", f"{len(encoded.skipped)} of {len(files)} files")
        if as_json:
            print(json.dumps(_as_json(answers, encoded, database), indent=2))
        else:
            for answer in answers:
                _print_answer(answer)


def _image_files(images: list[Path]) -> list[Path]:
    """Files as they are; of folders, all files in them that are not hidden, in order."""
    files: list[Path] = []
    for path in images:
        files += _files_of(path) if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def _files_of(folder: Path) -> list[Path]:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise ValueError(f"The folder {str(folder)!r} holds no file")
    return files


def _load_index(path: Path) -> "CodeIndex":
    """The index in a file, or that of a finished run's database."""
    from keras_hashing.retrieval import CodeIndex
    from training.runs import RunFolder

    if not path.is_dir():
        return CodeIndex.load(path)
    run = RunFolder(path)
    run.read_json(run.metrics)  # says so when the folder is no run, or the run is not finished
    return CodeIndex.load(run.database)


def _answers(
    encoded: "EncodedFiles", database: "CodeIndex", k: int, radius: int | None
) -> list[dict[str, Any]]:
    """For each image: its name, its code in hexadecimal and its neighbours, nearest first."""
    positions, distances = database.search(encoded.codes, k=k, radius=radius)
    return [
        {
            "image": str(path),
            "code": code.tobytes().hex(),
            "neighbours": [
                {
                    "rank": rank,
                    "id": database.ids[position],
                    "label": None if database.labels is None else database.labels[position],
                    "distance": distance,
                }
                for rank, (position, distance) in enumerate(zip(*row, strict=True), start=1)
                if position >= 0
            ],
        }
        for path, code, *row in zip(
            encoded.paths, encoded.codes, positions.tolist(), distances.tolist(), strict=True
        )
    ]


def _as_json(
    answers: list[dict[str, Any]], encoded: "EncodedFiles", database: "CodeIndex"
) -> dict[str, Any]:
    skipped = [
        {"image": str(path), "problem": problem} for path, problem in encoded.skipped.items()
    ]
    return {
        "fingerprint": database.fingerprint,
        "bits": database.bits,
        "queries": answers,
        "skipped": skipped,
    }


def _print_answer(answer: dict[str, Any]) -> None:
    title = Text.assemble((answer["image"], "bold"), "  code ", (answer["code"], "cyan"))
    _out.print(title, soft_wrap=True)
    if not answer["neighbours"]:
        _out.print("  nothing within the radius")
        return
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("id", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("distance", justify="right")
    for found in answer["neighbours"]:
        cells = (found["rank"], found["id"], found["label"] or "", found["distance"])
        table.add_row(*(Text(str(cell)) for cell in cells))
    _out.print(table)


def _print_facts(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        _out.print(Text.assemble((f"{name:>12}  ", "bold"), str(value)), soft_wrap=True)
