"""`python -m export index`: the life of an index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from export.cli.encoder_options import AnyEncoderOptions
from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import print_facts
from keras_hashing.files.image_folder import RULE
from keras_hashing.files.image_verdict import report, write_verdicts
from keras_hashing.files.list_lines import text_lines

if TYPE_CHECKING:
    from export.index.index_builder import BuiltIndex
    from export.index.index_items import IndexItems

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make and change the index that `saved-model --index`, `publish --index` and `query` "
    "search in: codes, ids and labels in one .npz file.",
)

_IMAGES = "Images (one of)"
_DETAILS = "About the images"
_WORK = "Work"

ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help=f"Folder of image files. {RULE} Ids are paths relative to the folder.",
        rich_help_panel=_IMAGES,
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="'digits', 'folder' (--data-dir holds one subfolder a class), or the name of a TFDS "
        "data set. Ids are those of the training, such as train/17.",
        rich_help_panel=_IMAGES,
    ),
]
ListOption = Annotated[
    Path | None,
    typer.Option(
        "--list",
        help="List file, one line an image: its path and, if there are labels, a 0 or 1 for each "
        "class (`path 0 1 0`). Ids are the paths.",
        rich_help_panel=_IMAGES,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", help="--dataset: where the data is.", rich_help_panel=_DETAILS),
]
PartOption = Annotated[
    str | None,
    typer.Option(
        "--part",
        help="--dataset: only this part, such as test. (default: all)",
        rich_help_panel=_DETAILS,
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="--list, --dataset lists: what their paths are relative to. (default: the folder of "
        "the list, or --data-dir)",
        rich_help_panel=_DETAILS,
    ),
]
IdFromOption = Annotated[
    Literal["path", "stem"],
    typer.Option(
        "--id-from",
        help="--images, --list: 'stem' takes the file name without folder and suffix for the id, "
        "so that cats/17.jpg is 17.",
        rich_help_panel=_DETAILS,
    ),
]
OnBadImageOption = Annotated[
    Literal["error", "skip"],
    typer.Option(
        "--on-bad-image",
        help="Image files that cannot be read or decoded: name all of them and fail, or leave them "
        "out with a warning and list them in INDEX.skipped.txt.",
        rich_help_panel=_WORK,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with what was interrupted; its codes lie in the folder INDEX.partial.",
        rich_help_panel=_WORK,
    ),
]
IndexOption = Annotated[Path, typer.Option("--index", help="Index file (.npz).")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Where to write it. (default: in place of --index)"),
]


@app.command(
    epilog="Example: python -m export index build --model models/shop --images photos/ "
    "--on-bad-image skip --output shop.npz"
)
@with_options(*options_of(AnyEncoderOptions))
def build(
    output: Annotated[Path, typer.Option("--output", help="Index file (.npz) to write.")],
    images: ImagesOption = None,
    dataset: DatasetOption = None,
    list_file: ListOption = None,
    data_dir: DataDirOption = None,
    part: PartOption = None,
    root: RootOption = None,
    id_from: IdFromOption = "path",
    id_type: Annotated[
        Literal["auto", "int64", "string"],
        typer.Option(
            help="What a server answers with; 'auto' is int64 if every id is an integer, such as "
            "17.",
            rich_help_panel=_DETAILS,
        ),
    ] = "auto",
    on_bad_image: OnBadImageOption = "error",
    resume: ResumeOption = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace an existing index.", rich_help_panel=_WORK),
    ] = False,
    **values: Any,
) -> None:
    """Encode images and write an index of them.

    The codes are saved as they come, so that an interrupted build goes on by --resume; the index
    appears when it is whole. It carries the fingerprint of its model: no other can use it.
    """
    with clear_errors():
        options = AnyEncoderOptions.among(values).refuse_early()
        _check_one_source(images, dataset, list_file)
        if output.exists() and not replace:
            raise FileExistsError(
                f"The index exists already: {output}. `--replace` replaces it; `index add` extends "
                "it"
            )
        encoder = options.load_any()
        from export.index.index_builder import build_index

        built = build_index(
            encoder,
            _items(images, dataset, list_file, data_dir, part, root, id_from, encoder.class_names),
            output,
            id_type=id_type,
            on_bad_image=on_bad_image,
            resume=resume,
            replace=replace,
        )
        _report(output, built)


@app.command(
    epilog="Example: python -m export index add --index shop.npz --model models/shop "
    "--images new-photos/"
)
@with_options(*options_of(AnyEncoderOptions))
def add(
    index: IndexOption,
    images: ImagesOption = None,
    dataset: DatasetOption = None,
    list_file: ListOption = None,
    data_dir: DataDirOption = None,
    part: PartOption = None,
    root: RootOption = None,
    id_from: IdFromOption = "path",
    on_bad_image: OnBadImageOption = "error",
    resume: ResumeOption = False,
    **values: Any,
) -> None:
    """Encode images and add them to an index.

    The model must be the one that the index was made by, and the ids must be new: to replace an
    item, remove it first. The file is replaced in one step when all is done.
    """
    with clear_errors():
        options = AnyEncoderOptions.among(values).refuse_early()
        _check_one_source(images, dataset, list_file)
        from export.index.load_index import load_index_file

        before = len(load_index_file(index))
        encoder = options.load_any()
        from export.index.index_builder import extend_index

        built = extend_index(
            encoder,
            _items(images, dataset, list_file, data_dir, part, root, id_from, encoder.class_names),
            index,
            on_bad_image=on_bad_image,
            resume=resume,
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
        Path | None, typer.Option(help="Text file of items to remove, one id a line.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Remove items from an index by their ids; no model is needed.

    An id that is not in the index is an error, and nothing is removed.
    """
    with clear_errors():
        from export.index.load_index import load_index_file

        names = list(ids or []) + ([] if ids_file is None else _lines(ids_file))
        if not names:
            raise ValueError("Name what to remove: --id, or --ids-file")
        target = index if output is None else output
        changed = load_index_file(index).remove(names)
        changed.save(target)
        print_facts({"index": target, "removed": f"{len(set(names)):,}", "items": len(changed)})


@app.command(epilog="Example: python -m export index info --index shop.npz")
def info(
    index: Annotated[
        Path, typer.Option("--index", help="Index file (.npz), or the folder of a finished run.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in an index."""
    with clear_errors():
        from export.index.load_index import load_index
        from keras_hashing.retrieval import unique_codes

        loaded = load_index(index)
        facts: dict[str, Any] = {
            "items": len(loaded),
            "bits": loaded.bits,
            "different_codes": unique_codes(loaded.codes) if len(loaded) else 0,
            "ids": "int64" if loaded.integer_ids else "string",
            "first_ids": loaded.ids[:3],
            "labels": loaded.labels is not None,
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
                "code space": facts["fingerprint"],
            }
        )


def _check_one_source(images: Path | None, dataset: str | None, list_file: Path | None) -> None:
    if [images, dataset, list_file].count(None) != 2:
        raise ValueError("Name the images: --images, --dataset or --list, one of them")


def _items(
    images: Path | None,
    dataset: str | None,
    list_file: Path | None,
    data_dir: Path | None,
    part: str | None,
    root: Path | None,
    id_from: Literal["path", "stem"],
    class_names: list[str],
) -> "IndexItems":
    """The images that the command line names."""
    from export.index.index_items import dataset_items, folder_items, list_items

    if images is not None:
        return folder_items(images, id_from)
    if list_file is not None:
        return list_items(list_file, root, class_names, id_from)
    from training.data import load_dataset

    assert dataset is not None
    return dataset_items(load_dataset(dataset, data_dir, image_root=root), part)


def _lines(path: Path) -> list[str]:
    return [line for _, line in text_lines(path)]


def _report(path: Path, built: "BuiltIndex", before: int | None = None) -> None:
    index = built.index
    if built.skipped:
        file = path.with_name(f"{path.name}.skipped.txt")
        write_verdicts(file, built.skipped)
        total = len(built.skipped) + len(index) - (before or 0)
        message = report(built.skipped, f"{total:,} images", left_out=True)
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
