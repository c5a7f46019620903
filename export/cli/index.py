"""`python -m export index`: the life of an index."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from export.cli.convert import kind_facts
from export.cli.encoder_options import AnyEncoderOptions
from export.cli.index_options import (
    IMAGE_OPTIONS,
    AnyIndexOption,
    BeamOptions,
    ImageOptions,
)
from export.index.file_encoder import check_takes
from export.index.load_index import check_no_index, load_index, load_index_file
from keras_hashing.command_line.errors import clear_errors, start_tensorflow, warn
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import print_facts
from keras_hashing.encoder.card import Card
from keras_hashing.files.image_verdict import report, write_verdicts
from keras_hashing.files.list_lines import text_lines
from keras_hashing.retrieval import unique_codes

if TYPE_CHECKING:
    from export.index.index_builder import BuiltIndex

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make and change the index that `saved-model --index`, `publish --index` and `query` "
    "search in: codes, ids and labels in one .npz file.",
)

IndexOption = Annotated[Path, typer.Option("--index", help="Index file (.npz).")]
IdTypeOption = Annotated[
    Literal["auto", "int64", "string"],
    typer.Option(
        help="What a server answers with; 'auto' is int64 if every id is an integer, such as 17.",
        rich_help_panel="About the images",
    ),
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace what exists.", rich_help_panel="Work")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Where to write it. (default: in place of --index)"),
]


@app.command(
    epilog="Example: python -m export index build --model models/shop --images photos/ "
    "--on-bad-image skip --output shop.npz"
)
@with_options(*options_of(AnyEncoderOptions), *IMAGE_OPTIONS, *options_of(BeamOptions))
def build(
    output: Annotated[
        str,
        typer.Option(
            "--output", help="Index file (.npz) to write; with --beam, the folder of shards."
        ),
    ],
    beam_options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS OF BEAM]",
            help="--beam: such as `-- --direct_num_workers 4`.",
            show_default=False,
        ),
    ] = None,
    id_type: IdTypeOption = "auto",
    replace: ReplaceOption = False,
    **values: Any,
) -> None:
    """Encode images or vectors and write an index of them.

    The codes are saved as they come, so that --resume resumes an interrupted build; the index
    appears when it is whole. It carries the fingerprint of its model: no other can use it.
    """
    with clear_errors():
        options = AnyEncoderOptions.among(values).refuse_early()
        images = ImageOptions.among(values)
        beam = BeamOptions.among(values).refuse_early(images, beam_options or [])
        if beam.beam:
            _build_shards(options, images, beam, output, replace, beam_options or [])
            return
        images.refuse_early()
        path = Path(output)
        if not replace:
            check_no_index(path)
        encoder = options.load_any()
        from export.index.index_builder import build_index

        built = build_index(
            encoder,
            images.items(encoder.class_names),
            path,
            id_type=id_type,
            on_bad_image=images.on_bad_image,
            resume=images.resume,
            replace=replace,
        )
        _report(path, built)


def _build_shards(
    options: AnyEncoderOptions,
    images: ImageOptions,
    beam: BeamOptions,
    output: str,
    replace: bool,
    more: list[str],
) -> None:
    """Encodes with Beam, and says what to do next."""
    start_tensorflow()
    logging.getLogger().setLevel(logging.ERROR)  # Beam warns of what concerns nobody here
    from export.beam.job import check_no_shards, encode_to_shards
    from export.beam.shards import CodeSpace
    from export.beam.sources import source_and_labels

    folder = output if "://" in output else str(Path(output).absolute())
    if not replace:
        check_no_shards(folder)
    with options.exported() as model:
        card = Card.load(model)
        check_takes(card.vector_width, None)
        source, labels = source_and_labels(images, beam, card.class_names)
        encode_to_shards(
            source,
            model,
            folder,
            CodeSpace(card.fingerprint, card.bits),
            labels=labels,
            shards=beam.shards,
            options=[f"--runner={beam.runner}", *more],
        )
    print_facts({"shards": output, "code space": card.fingerprint})
    print(
        f"Make an index of them: python -m export index from-shards --shards {output} "
        "--output INDEX.npz"
    )


@app.command(
    name="from-shards",
    epilog="Example: python -m export index from-shards --shards shop-shards --output shop.npz",
)
@with_options(*options_of(ImageOptions, ("on_bad_image",), "Work"))
def from_shards(
    shards: Annotated[Path, typer.Option(help="Folder that `index build --beam` wrote.")],
    output: Annotated[Path, typer.Option(help="Index file (.npz) to write.")],
    id_type: IdTypeOption = "auto",
    replace: ReplaceOption = False,
    **values: Any,
) -> None:
    """Make an index of the shards that `index build --beam` wrote; no model is needed.

    Checks that all of them are there, as they were written, of one code space, and that no id
    stands in two.
    """
    with clear_errors():
        from export.index.code_shards import index_of_shards

        built = index_of_shards(
            shards, output, id_type=id_type, on_bad_image=values["on_bad_image"], replace=replace
        )
        _report(output, built)


@app.command(
    epilog="Example: python -m export index add --index shop.npz --model models/shop "
    "--images new-photos/"
)
@with_options(*options_of(AnyEncoderOptions), *IMAGE_OPTIONS)
def add(index: IndexOption, **values: Any) -> None:
    """Encode images or vectors and add them to an index.

    The model must be the one that the index was made by, and the ids must be new: to replace an
    item, remove it first. The file is replaced in one step when all is done.
    """
    with clear_errors():
        options = AnyEncoderOptions.among(values).refuse_early()
        images = ImageOptions.among(values).refuse_early()
        before = len(load_index_file(index))
        encoder = options.load_any()
        from export.index.index_builder import extend_index

        built = extend_index(
            encoder,
            images.items(encoder.class_names),
            index,
            on_bad_image=images.on_bad_image,
            resume=images.resume,
        )
        _report(index, built, before)


@app.command(
    epilog="Example: python -m export index remove --index shop.npz --id cats/17.jpg "
    "--id cats/18.jpg"
)
def remove(
    index: IndexOption,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Item to remove; repeat it for more.")
    ] = None,
    ids_file: Annotated[
        Path | None, typer.Option(help="Text file of items to remove, one id per line.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Remove items from an index by their ids; no model is needed.

    An id that is not in the index is an error, and nothing is removed. A file may be empty: of an
    index that has no near-duplicates nothing is removed.
    """
    with clear_errors():
        if not ids and ids_file is None:
            raise ValueError("Name what to remove: --id, or --ids-file")
        names = list(ids or [])
        if ids_file is not None:
            names += [line for _, line in text_lines(ids_file)]
        target = index if output is None else output
        from export.index.certificate import measured

        changed = measured(load_index_file(index).remove(names))
        changed.save(target)
        print_facts(
            {"index": target, "removed": f"{len(set(names)):,}", "items": f"{len(changed):,}"}
        )


@app.command(epilog="Example: python -m export index info --index shop.npz")
def info(
    index: AnyIndexOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in an index."""
    with clear_errors():
        loaded = load_index(index)
        facts: dict[str, Any] = {
            "items": len(loaded),
            "bits": loaded.bits,
            "different_codes": unique_codes(loaded.codes) if len(loaded) else 0,
            "ids": "int64" if loaded.integer_ids else "string",
            "first_ids": loaded.ids[:3],
            "labels": loaded.labels is not None,
            "kind": "flat" if loaded.kind is None else loaded.kind.model_dump(),
            "fingerprint": loaded.fingerprint,
        }
        if as_json:
            print(json.dumps(facts, indent=2))
            return
        print_facts(
            {
                "items": f"{facts['items']:,}",
                "bits": facts["bits"],
                "codes": f"{facts['different_codes']:,} different",
                "ids": f"{facts['ids']}, such as {', '.join(facts['first_ids'])}",
                "labels": "yes" if facts["labels"] else "no",
                **kind_facts(loaded),
                "code space": facts["fingerprint"],
            }
        )


def _report(path: Path, built: "BuiltIndex", before: int | None = None) -> None:
    index = built.index
    if built.skipped:
        file = path.with_name(f"{path.name}.skipped.txt")
        write_verdicts(file, built.skipped)
        total = len(built.skipped) + len(index) - (before or 0)
        message = report(built.skipped, f"{total:,} {built.kind}", left_out=True)
        warn("[bold yellow]Warning:[/]", f"{message}\nAll of them are in {file}")
    print_facts(
        {
            "index": path,
            **({} if before is None else {"added": f"{len(index) - before:,}"}),
            "items": f"{len(index):,}",
            "bits": index.bits,
            "ids": "int64" if index.integer_ids else "string",
            "code space": index.fingerprint,
        }
    )
