"""`python -m export`: the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from export.cli import duplicates, stores
from export.cli import index as index_cli
from export.cli import litert as litert_cli
from export.cli import page as page_cli
from export.cli import server as server_cli
from export.cli.encoder_options import AnyEncoderOptions, EncoderOptions
from export.cli.page import SheetOptions
from export.cli.server_options import NeighbourOptions, ServerOptions
from export.versions.version_folders import check_no_version, new_version
from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import out, print_facts, print_whole
from keras_hashing.files.image_folder import RULE, image_files
from keras_hashing.files.image_verdict import report

if TYPE_CHECKING:
    from export.index.encode_files import EncodedFiles
    from export.versions.publish import Published
    from keras_hashing.encoder import HashEncoder
    from keras_hashing.retrieval import CodeIndex

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Export trained hash models, and use what was exported.",
)
index_cli.app.command("duplicates")(duplicates.duplicates)
index_cli.app.command("export")(stores.export_index)
index_cli.app.command("import")(stores.import_index)
index_cli.app.command("verify")(stores.verify_index)
app.add_typer(index_cli.app, name="index")
app.command(
    name="server-config",
    epilog="Example: python -m export server-config --model models/shop --output serving",
)(server_cli.server_config)
app.command(
    name="litert", epilog="Example: python -m export litert --run runs/shop --output exported/phone"
)(litert_cli.litert)
app.command(
    name="page",
    epilog="Example: python -m export page --model exported/shop --index shop.npz --images SHOP",
)(page_cli.page)
app.command(name="tflite", help="The same as litert.", hidden=True)(litert_cli.litert)
app.command(
    name="verify", epilog="Example: python -m export verify --run runs/shop --litert exported/phone"
)(litert_cli.verify)

_MODEL = "Model"
_SEARCH = "Search"
_OUTPUT = "Output"
_WAITING = "Running server"


IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        help="What `search` and `search_code` search in: an index file (.npz) of `python -m export "
        "index`, or the folder of the run (its database). It must be of the run's code space. "
        "(default: no search)",
        rich_help_panel=_SEARCH,
    ),
]
RerankOption = Annotated[
    bool,
    typer.Option(
        "--rerank",
        help="`search` orders the nearest 100 (or k) by the query's continuous code, which knows "
        "more than its bits.",
        rich_help_panel=_SEARCH,
    ),
]
WaitUntilServingOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Wait until TensorFlow Serving there (gRPC) has loaded the version and warmed it up; "
        "exit with 1 and its reason if it cannot.",
        rich_help_panel=_WAITING,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        help="The model's name on that server. (default: the name of the output folder)",
        show_default=False,
        rich_help_panel=_WAITING,
    ),
]
ServingTimeoutOption = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for that server.", rich_help_panel=_WAITING)
]


@app.command(
    name="saved-model",
    epilog="Example: python -m export saved-model --run runs/fashion --output models/fashion "
    "--index runs/fashion",
)
@with_options(*options_of(EncoderOptions))
def saved_model(
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
    index: IndexOption = None,
    rerank: RerankOption = False,
    **values: Any,
) -> None:
    """Write an encoder as a SavedModel for TensorFlow Serving.

    Signatures: encode, also the serving_default (images → packed codes), encode_bytes (JPEG or
    PNG strings → packed codes), continuous (images → continuous codes) and card (what the model
    says about itself); with an index, search (JPEG or PNG strings → ids and distances) and
    search_code (packed codes → the same), both with optional k and max_distance. Preprocessing is
    in the graph, which holds standard TensorFlow ops only. assets.extra/ has the card, warm-up
    requests and checksums.
    """
    with clear_errors():
        options = EncoderOptions.among(values).refuse_early()
        check_no_version(output)
        new_version(output, version)
        database = _optional_index(index)
        encoder = options.load()
        from export.saved_model.export_saved_model import export_saved_model

        _check_index(database, index, encoder)
        _print_version(export_saved_model(encoder, output, version, database, rerank))


@app.command(
    epilog="Example: python -m export publish --run runs/shop --index shop.npz --output "
    "models/shop --keep 3"
)
@with_options(*options_of(EncoderOptions))
def publish(
    output: Annotated[
        Path,
        typer.Option(
            help="Folder that TensorFlow Serving watches (its model_base_path); made if need be.",
            rich_help_panel=_OUTPUT,
        ),
    ],
    index: IndexOption = None,
    rerank: RerankOption = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Versions to keep, the new one among them; older ones and those that were rolled "
            "back are deleted. (default: all)",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback",
            help="Take the highest version away instead, so that the one before is served again.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds to wait for another publisher at work in the folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = 600,
    wait_until_serving: WaitUntilServingOption = None,
    name: NameOption = None,
    serving_timeout: ServingTimeoutOption = 300,
    **values: Any,
) -> None:
    """Publish an encoder as the next version under a running server, or roll back.

    For a changed index, publish the same encoder again.

    By default TensorFlow Serving serves the version with the highest number, and looks for a higher
    one every second or so: it loads that and then lets the old one go, so no request is lost. A new
    version appears whole or not at all, whatever happens to this process; what a killed one has
    left is cleared away by the next. Rolled back, version N is renamed to N.rolled-back, which the
    server ignores; its number is not used again while it is there.
    """
    with clear_errors():
        from export.versions import publish as publishing

        encoder_options = EncoderOptions.among(values)
        if rollback:
            if encoder_options != EncoderOptions() or index or keep or rerank or wait_until_serving:
                raise ValueError("--rollback takes --output and --wait only")
            back = publishing.rollback(output, wait)
            print_facts({"served": back.served, "rolled back": back.kept_as})
            return
        if encoder_options == EncoderOptions():
            raise ValueError("Name what to publish, --run or --model, or --rollback")
        if wait_until_serving is not None:
            server_cli.check_host_port("--wait-until-serving", wait_until_serving)
        options = encoder_options.refuse_early()
        check_no_version(output)
        database = _optional_index(index)
        encoder = options.load()
        _check_index(database, index, encoder)
        published = publishing.publish(encoder, output, database, keep, rerank, wait)
        _print_version(published.folder)
        _print_changes(published)
        if wait_until_serving is not None:
            version, name = int(published.folder.name), name or output.absolute().name
            server_cli.wait_until_serving(wait_until_serving, name, version, serving_timeout)
            print_facts({"served": f"{name} version {version} at {wait_until_serving}"})


def _print_changes(published: "Published") -> None:
    """Prints what a publication has deleted, and warns of what its users lose."""
    deleted = [*map(str, published.removed)]
    deleted += [f"{number}.rolled-back" for number in published.removed_rolled_back]
    if deleted:
        print_facts({"deleted": "version " + ", ".join(deleted)})
    for sentence in published.lost:
        warn("[bold yellow]Warning:[/]", sentence)


def _optional_index(path: Path | None) -> "CodeIndex | None":
    from export.index.load_index import load_index

    return None if path is None else load_index(path)


def _check_index(index: "CodeIndex | None", path: Path | None, encoder: "HashEncoder") -> None:
    from export.index.load_index import check_code_space

    if index is not None and path is not None:
        check_code_space(index, path, encoder)


def _print_version(folder: Path) -> None:
    """Prints what a version is."""
    from keras_hashing.encoder.card import Card

    card = Card.load(folder)
    facts: dict[str, Any] = {
        "SavedModel": folder,
        "signatures": ", ".join(card.signatures),
        "bits": card.bits,
        "code space": card.fingerprint,
    }
    if card.index is not None:
        facts["index"] = f"{card.index.items:,} items, ids {card.index.ids}"
    print_facts(facts)


@app.command(
    epilog="Example: python -m export query --model models/fashion --index runs/fashion --k 5 "
    "coat.png photos/",
)
@with_options(
    *options_of(AnyEncoderOptions),
    *options_of(NeighbourOptions),
    *options_of(ServerOptions),
    *options_of(SheetOptions),
)
def query(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            exists=True,
            help=f"Image files, or folders of them. {RULE}",
        ),
    ],
    index: Annotated[
        Path | None,
        typer.Option(
            help="What to search in: the folder of a finished run (its database), or an index "
            "file (.npz). It must be of the model's code space.",
            rich_help_panel=_MODEL,
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
            help="Files that cannot be read or decoded: name all of them and fail, or leave them "
            "out with a warning.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "error",
    **values: Any,
) -> None:
    """Encode images and find the nearest: with an exported model in a database, or by a server.

    With --model or --run and --index, prints each image's code in hexadecimal, most significant bit
    first, and its neighbours by Hamming distance; equal distances come in the order of the
    database. With --server, a running TensorFlow Serving does the work, in the index that its model
    was published with, and no TensorFlow is needed here.
    """
    with clear_errors():
        options, asked = AnyEncoderOptions.among(values), ServerOptions.among(values)
        k, radius = NeighbourOptions.among(values).model_dump().values()
        sheet = SheetOptions.among(values).refuse_early(index)
        if asked.server is not None:
            if asked.name is None or options != AnyEncoderOptions() or index is not None:
                raise typer.BadParameter(
                    "--server needs --name, and none of --model, --run and --index"
                )
            files = _image_files(images)
            found = _query_server(asked.to_server(), files, k, radius, on_bad_image, as_json)
            sheet.write(found, None, f"model {asked.name!r} at {asked.server}")
            return
        if options == AnyEncoderOptions() or index is None or asked.name is not None:
            raise typer.BadParameter(
                "name what answers: --model or --run, and --index; or --server and --name"
            )
        options.refuse_early()
        from export.index.load_index import check_code_space, load_index

        files = _image_files(images)
        database = load_index(index)
        encoder = options.load_any()
        from export.index.encode_files import encode_files

        check_code_space(database, index, encoder)
        encoded = encode_files(encoder, files, on_bad_image=on_bad_image)
        answers = _answers(encoded, database, k, radius)
        _warn_of_skipped(encoded.skipped, len(files))
        if as_json:
            print(json.dumps(_as_json(answers, encoded, database), indent=2))
        else:
            for answer in answers:
                _print_answer(answer)
        sheet.write(answers, index, repr(str(index)))


def _query_server(
    server: server_cli.Server,
    files: list[Path],
    k: int,
    radius: int | None,
    on_bad_image: Literal["error", "skip"],
    as_json: bool,
) -> list[dict[str, Any]]:
    found = server_cli.ask_server(server, files, k, radius, on_bad_image)
    _warn_of_skipped(found.skipped, len(files))
    if as_json:
        document = {
            "fingerprint": found.card.fingerprint,
            "bits": found.card.bits,
            "queries": found.answers,
            "skipped": _skipped_as_json(found.skipped),
        }
        print(json.dumps(document, indent=2))
    else:
        for answer in found.answers:
            _print_answer(answer)
    return found.answers


def _warn_of_skipped(skipped: dict[Path, str], files: int) -> None:
    if skipped:
        problems = {str(path): problem for path, problem in skipped.items()}
        warn("[bold yellow]Warning:[/]", report(problems, f"{files} files", left_out=True))


def _image_files(images: list[Path]) -> list[Path]:
    """Files as they are; of folders, the images in them, as `image_files` finds them."""
    files: list[Path] = []
    for path in images:
        files += image_files(path) if path.is_dir() else [path]
    return list(dict.fromkeys(files))


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
    return {
        "fingerprint": database.fingerprint,
        "bits": database.bits,
        "queries": answers,
        "skipped": _skipped_as_json(encoded.skipped),
    }


def _skipped_as_json(skipped: dict[Path, str]) -> list[dict[str, str]]:
    return [{"image": str(path), "problem": problem} for path, problem in skipped.items()]


def _print_answer(answer: dict[str, Any]) -> None:
    title = Text(answer["image"], "bold")
    if "code" in answer:
        title = Text.assemble(title, "  code ", (answer["code"], "cyan"))
    out.print(title, soft_wrap=True)
    if not answer["neighbours"]:
        out.print("  nothing within the radius")
        return
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("id", no_wrap=True)
    columns = ["rank", "id", "distance"]
    if "label" in answer["neighbours"][0]:
        table.add_column("label", no_wrap=True)
        columns.insert(2, "label")
    table.add_column("distance", justify="right")
    for found in answer["neighbours"]:
        cells = [found[column] for column in columns]
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    print_whole(table)
