"""`python -m export`: the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ConfigDict, Field
from rich.table import Table
from rich.text import Text

from export.cli import duplicates, stores
from export.cli import index as index_cli
from export.cli import litert as litert_cli
from export.cli import page as page_cli
from export.cli import server as server_cli
from export.cli.convert import convert, warn_if_approximate
from export.cli.encoder_options import AnyEncoderOptions, EncoderOptions
from export.cli.page import SheetOptions
from export.cli.server_options import NEAREST, NeighbourOptions, ServerOptions, VectorOptions
from export.index.file_encoder import check_takes
from export.index.load_index import check_code_space, load_index
from export.versions.version_folders import check_no_version, new_version
from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import out, print_facts, print_whole
from keras_hashing.files.image_folder import RULE, image_files
from keras_hashing.files.image_verdict import report
from keras_hashing.retrieval.packing import pack_codes
from keras_hashing.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.versions.publish import Published
    from keras_hashing.encoder import HashEncoder
    from keras_hashing.encoder.card import Card
    from keras_hashing.retrieval import CodeIndex

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Export trained hash models, and use what was exported.",
)
index_cli.app.command("convert")(convert)
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
_OUTPUT = "Output"


class SearchOptions(Settings):
    """What is searched in a served model."""

    model_config = ConfigDict(title="Search")

    index: Path | None = None
    """What `search` and `search_code` search in: an index file (.npz) of `python -m export index`,
    or the folder of the run (its database). It must be of the run's code space. (default: no
    search)"""
    rerank: bool = False
    """`search` orders the nearest 100 (or k) by the query's continuous code, which knows more than
    its bits."""

    def load(self) -> "CodeIndex | None":
        """The index, if one is named."""
        return None if self.index is None else load_index(self.index)

    def check_space(self, index: "CodeIndex | None", encoder: "HashEncoder") -> None:
        """Refuses the index that was loaded if it is of another code space."""
        if index is not None and self.index is not None:
            check_code_space(index, self.index, encoder)


class WaitingOptions(Settings):
    """Whether to wait until a new version is served."""

    model_config = ConfigDict(title="Running server")

    wait_until_serving: str | None = None
    """HOST:PORT: wait until TensorFlow Serving there (gRPC) has loaded the version and warmed it
    up; exit with 1 and its reason if it cannot."""
    name: str | None = None
    """The model's name on that server. (default: the name of the output folder)"""
    serving_timeout: float = Field(default=300, ge=0)
    """Seconds to wait for that server."""


@app.command(
    name="saved-model",
    epilog="Example: python -m export saved-model --run runs/fashion --output models/fashion "
    "--index runs/fashion",
)
@with_options(*options_of(EncoderOptions), *options_of(SearchOptions))
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
    **values: Any,
) -> None:
    """Write an encoder as a SavedModel for TensorFlow Serving.

    Signatures: encode, also the serving_default (images → packed codes), encode_bytes (JPEG or
    PNG strings → packed codes), continuous (images → continuous codes) and card (what the model
    says about itself); with an index, search (JPEG or PNG strings → ids and distances) and
    search_code (packed codes → the same), both with optional k and max_distance. A model of vectors
    has encode_vectors and search_vectors in place of those of images. Preprocessing is in the
    graph, which holds standard TensorFlow ops only. assets.extra/ has the card, warm-up requests
    and checksums.
    """
    with clear_errors():
        options = EncoderOptions.among(values).refuse_early()
        search = SearchOptions.among(values)
        check_no_version(output)
        new_version(output, version)
        database = search.load()
        encoder = options.load()
        from export.saved_model.export_saved_model import export_saved_model

        search.check_space(database, encoder)
        _print_version(export_saved_model(encoder, output, version, database, search.rerank))


@app.command(
    epilog="Example: python -m export publish --run runs/shop --index shop.npz --output "
    "models/shop --keep 3"
)
@with_options(*options_of(EncoderOptions), *options_of(SearchOptions), *options_of(WaitingOptions))
def publish(
    output: Annotated[
        Path,
        typer.Option(
            help="Folder that TensorFlow Serving watches (its model_base_path); made if need be.",
            rich_help_panel=_OUTPUT,
        ),
    ],
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

        options, search = EncoderOptions.among(values), SearchOptions.among(values)
        server, name, timeout = WaitingOptions.among(values).model_dump().values()
        if rollback:
            if options != EncoderOptions() or search != SearchOptions() or keep or server:
                raise ValueError("--rollback takes --output and --wait only")
            back = publishing.rollback(output, wait)
            print_facts({"served": back.served, "rolled back": back.kept_as})
            return
        if options == EncoderOptions():
            raise ValueError("Name what to publish, --run or --model, or --rollback")
        if server is not None:
            server_cli.check_host_port("--wait-until-serving", server)
        options.refuse_early()
        check_no_version(output)
        database = search.load()
        encoder = options.load()
        search.check_space(database, encoder)
        published = publishing.publish(encoder, output, database, keep, search.rerank, wait)
        _print_version(published.folder)
        _print_changes(published)
        if server is not None:
            version, name = int(published.folder.name), name or output.absolute().name
            server_cli.wait_until_serving(server, name, version, timeout)
            print_facts({"served": f"{name} version {version} at {server}"})


def _print_changes(published: "Published") -> None:
    """Prints what a publication has deleted, and warns of what its users lose."""
    deleted = [*map(str, published.removed)]
    deleted += [f"{number}.rolled-back" for number in published.removed_rolled_back]
    if deleted:
        print_facts({"deleted": "version " + ", ".join(deleted)})
    for sentence in published.lost:
        warn("[bold yellow]Warning:[/]", sentence)


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
    *options_of(VectorOptions),
    *options_of(NeighbourOptions),
    *options_of(ServerOptions),
    *options_of(SheetOptions),
)
def query(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE",
            exists=True,
            show_default=False,
            help=f"Image files, or folders of them. {RULE}",
        ),
    ] = None,
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
    """Encode images or vectors and find the nearest, in an index or by a server.

    With --model or --run and --index, prints the code of each in hexadecimal, most significant bit
    first, and its neighbours by Hamming distance; equal distances come in the order of the query's
    continuous code. With --server, a running TensorFlow Serving does the work, in the index that
    its model was published with, and no TensorFlow is needed here.
    """
    with clear_errors():
        options, asked = AnyEncoderOptions.among(values), ServerOptions.among(values)
        k, radius = NeighbourOptions.among(values).model_dump().values()
        sheet = SheetOptions.among(values).refuse_early(index)
        queries = VectorOptions.among(values).refuse_early(bool(images), sheet.html).read()
        files = _image_files(images or [])
        if asked.server is not None:
            if asked.name is None or options != AnyEncoderOptions() or index is not None:
                raise typer.BadParameter(
                    "--server needs --name, and none of --model, --run and --index"
                )
            found = server_cli.ask(asked, files, queries, k, radius, on_bad_image)
            _show(found.answers, found.skipped, len(files), found.card, as_json)
            sheet.write(found.answers, None, f"model {asked.name!r} at {asked.server}")
            return
        if options == AnyEncoderOptions() or index is None or asked.name is not None:
            raise typer.BadParameter(
                "name what answers: --model or --run, and --index; or --server and --name"
            )
        options.refuse_early()
        database = load_index(index)
        warn_if_approximate(database)
        encoder = options.load_any()
        check_code_space(database, index, encoder)
        if queries is None:
            from export.index.encode_files import encode_files

            continuous, paths, skipped = encode_files(
                encoder, files, on_bad_image=on_bad_image, continuous=True
            )
            kind, names = "image", list(map(str, paths))
        else:
            check_takes(encoder.vector_width, queries.vectors.shape[1])
            continuous, skipped = encoder.continuous(queries.vectors), {}
            kind, names = "vector", queries.names
        answers = _answers(kind, names, continuous, database, k, radius)
        _show(answers, skipped, len(files), database, as_json)
        sheet.write(answers, index, repr(str(index)))


def _show(
    answers: list[dict[str, Any]],
    skipped: dict[Path, str],
    files: int,
    space: "Card | CodeIndex",
    as_json: bool,
) -> None:
    """Prints what was found, and warns of files that were left out of `files`."""
    problems = {str(path): problem for path, problem in skipped.items()}
    if problems:
        warn("[bold yellow]Warning:[/]", report(problems, f"{files} files", left_out=True))
    if as_json:
        document = {
            "fingerprint": space.fingerprint,
            "bits": space.bits,
            "queries": answers,
            "skipped": [{"image": name, "problem": why} for name, why in problems.items()],
        }
        print(json.dumps(document, indent=2))
    else:
        for answer in answers:
            _print_answer(answer)


def _image_files(images: list[Path]) -> list[Path]:
    """Files as they are; of folders, the images in them, as `image_files` finds them."""
    files: list[Path] = []
    for path in images:
        files += image_files(path) if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def _answers(
    kind: str,
    names: list[str],
    continuous: "NDArray[np.float32]",
    database: "CodeIndex",
    k: int | None,
    radius: int | None,
) -> list[dict[str, Any]]:
    """For each query: its name, its code in hexadecimal and its neighbours, nearest first."""
    codes = pack_codes(continuous)
    if k is None and radius is not None:
        within = database.search_radius(codes, radius, continuous)
        rows = [within.of(query) for query in range(len(codes))]
    else:
        rows = list(zip(*database.search(codes, k or NEAREST, radius, continuous), strict=True))
    return [
        {
            kind: name,
            "code": code.tobytes().hex(),
            "neighbours": [
                {
                    "rank": rank,
                    "id": database.ids[position],
                    "label": None if database.labels is None else database.labels[position],
                    "distance": distance,
                }
                for rank, (position, distance) in enumerate(
                    zip(positions.tolist(), distances.tolist(), strict=True), start=1
                )
                if position >= 0
            ],
        }
        for name, code, (positions, distances) in zip(names, codes, rows, strict=True)
    ]


def _print_answer(answer: dict[str, Any]) -> None:
    title = Text(answer.get("image") or answer["vector"], "bold")
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
