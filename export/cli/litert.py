"""`python -m export litert` and `verify`: the encoder on a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from export.cli.encoder_options import EncoderOptions
from export.cli.litert_options import (
    ConversionOptions,
    DataOptions,
    WorkOptions,
)
from export.index.file_encoder import check_takes
from export.index.load_index import check_code_space, load_index
from export.litert.checks import SEARCH_FILE, check_new_files, check_searchable
from export.litert.verification.limits import Limits
from export.versions.version_folders import version_folder
from keras_hashing.command_line.errors import (
    clear_errors,
    is_given,
    notices_kept_back,
    warn,
)
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import out, print_facts, print_whole
from keras_hashing.device.kinds import KINDS, Kind, check_kinds, file_name
from keras_hashing.files.atomic_write import write_json
from keras_hashing.files.vector_file import open_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.litert.input_pool import InputPool
    from export.litert.verification.verify import EncoderReport, LabelledDatabase, Verification
    from keras_hashing.encoder import HashEncoder
    from keras_hashing.retrieval import CodeIndex

# The converter reports each step, at a level that no setting silences.
_CLEAR = (ValueError, OSError, ImportError)

_FILES = "Files"
_SEARCH = "Search on the device"
_OUTPUT = "Output"

_ADVICE = (
    "more calibration images (litert --calibration-images), longer training or a quantization "
    "loss, so that fewer values lie near 0, the float16 file, or a limit that fits your use"
)

# What each of these limits takes to be measured: the file of its kind, and what it is a share of.
_NEEDED_KINDS: dict[str, tuple["Kind", ...]] = {
    "float32_bits": ("float32",),
    "float16_bits": ("float16",),
    "dynamic_range_bits": ("dynamic-range",),
    "int8_bits": ("int8",),
    "float16_size": ("float16", "float32"),
    "int8_size": ("int8", "float32"),
    "int8_latency": ("int8", "float32"),
}


@with_options(*options_of(EncoderOptions), *options_of(ConversionOptions), *options_of(DataOptions))
def litert(
    output: Annotated[Path, typer.Option(help="Folder of the .tflite files; made if need be.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="'float32', 'float16' (half the size), 'dynamic-range' (int8 weights) or 'int8' "
            "(int8 arithmetic); repeat it for more. (default: all four)",
            rich_help_panel=_FILES,
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            help="Write search.tflite as well, which searches in this index (.npz, or the folder "
            "of a run) of at most 100,000 items: code → distances and positions in the index. "
            "(default: no search)",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    k: Annotated[
        int, typer.Option(min=1, help="Answers to a query.", rich_help_panel=_SEARCH)
    ] = 10,
    **values: Any,
) -> None:
    """Write an encoder as .tflite files for LiteRT (TensorFlow Lite), for phones and the like.

    One signature, encode: an image of the encoder's size, uint8 [1, height, width, channels] →
    code, uint8 [1, bits/8], packed as the server packs it; a model of vectors takes one, float32
    [1, D]. Built-in operators only. The file carries what it is: read it by
    `keras_hashing.device.read_metadata`.
    """
    with clear_errors():
        options = EncoderOptions.among(values).refuse_early()
        files, data = ConversionOptions.among(values), DataOptions.among(values)
        kinds = check_kinds(KINDS if kind is None else kind)
        check_new_files(output, map(file_name, kinds), files.replace)
        if "int8" in kinds and options.run is None and not data.are_named:
            raise ValueError(
                "Full int8 needs representative images or vectors: --image-folder, --vectors, or "
                "other files by --kind"
            )
        database = None if index is None else load_index(index)
        if database is not None:
            check_searchable(database, k)
            check_new_files(output, [SEARCH_FILE], files.replace)
        encoder = options.load()
        if database is not None and index is not None:
            check_code_space(database, index, encoder)
        inputs = None
        if "int8" in kinds:
            pool, _ = _inputs(encoder, options.run, data, "train")
            inputs = pool.draw(files.calibration_images, files.seed)
        for path in _converted(encoder, output, kinds, inputs, files, database, k):
            print_facts({path.name: f"{path.stat().st_size:,} bytes"})
        print_facts({"bits": encoder.bits, "code space": encoder.fingerprint})


def _converted(
    encoder: "HashEncoder",
    output: Path,
    kinds: list[Kind],
    inputs: "NDArray | None",
    files: ConversionOptions,
    database: "CodeIndex | None",
    k: int,
) -> list[Path]:
    """Writes all files, and says which it is at."""
    from export.litert.export_litert import export_litert
    from export.litert.search_file import export_search

    with out.status("Converting") as status, notices_kept_back(_CLEAR):
        paths = export_litert(
            encoder,
            output,
            kinds,
            inputs,
            free_batch=files.free_batch,
            continuous=files.continuous,
            replace=files.replace,
            begin=lambda now: status.update(f"Converting to {now}"),
        )
        if database is not None:
            status.update("Converting the index")
            paths.append(export_search(database, output, k, files.replace))
    return paths


def _inputs(
    encoder: "HashEncoder",
    run: Path | None,
    data: DataOptions,
    part: str,
) -> tuple["InputPool", "LabelledDatabase | None"]:
    """Images, or vectors, that are named or a part of a run's data, and what mAP is measured by."""
    from export.litert.input_pool import InputPool

    if data.vectors is not None:
        vectors = open_vectors(data.vectors)
        check_takes(encoder.vector_width, vectors.width)
        return InputPool.of_vectors(vectors), None
    if data.are_named or run is None:
        check_takes(encoder.vector_width, None)
        return InputPool.of_folder(data.image_folder or Path(), encoder), None
    from export.litert.verification.verify import LabelledDatabase
    from training.runs.run_folder import load_run

    loaded = load_run(run)
    run_data = loaded.data(data.data_dir, data.image_root)
    measured = part == "query" and run_data.dataset.class_names
    database = LabelledDatabase.of_run(loaded, run_data) if measured else None
    return InputPool.of_run(run_data, part), database


@with_options(
    *(
        option
        for group in (EncoderOptions, DataOptions, WorkOptions, Limits)
        for option in options_of(group)
    )
)
def verify(
    context: typer.Context,
    litert: Annotated[Path, typer.Option(help="Folder of the encoder's .tflite files.")],
    saved_model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the encoder's SavedModel, to check it as well: one version, or all of "
            "them, of which the highest is taken. With --run, --model is the same. (default: none)"
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write the figures to this file as well.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    **values: Any,
) -> None:
    """Check that exported encoders agree with their Keras model, on real images or vectors.

    Each .tflite file runs on LiteRT's interpreter. mAP counts first: that of the device's query
    codes against the server's database codes, next to the server's own. Neighbours: of the 10
    that are nearest by the Keras model's codes, the share that the file's codes find.
    Latency is that of this machine, all files in turn: the ratios mean more than the milliseconds.

    The exit code is 0 when all limits hold, 1 when one is broken and 2 for any error, such as a
    limit that is given but cannot be measured.
    """
    with _errors_exit_with_2():
        if json_file is not None and not json_file.absolute().parent.is_dir():
            raise FileNotFoundError(f"There is no folder for --json {str(json_file)!r}")
        if values["run"] is not None and values["model"] is not None:
            saved_model, values["model"] = saved_model or values["model"], None
        options = EncoderOptions.among(values).refuse_early()
        data, limits = DataOptions.among(values), Limits.among(values)
        if options.run is None and not data.are_named:
            raise ValueError(
                "A .keras model brings no images or vectors: name some with --image-folder or "
                "--vectors"
            )
        if saved_model is not None:
            version_folder(saved_model)
        encoder = options.load()
        labelled = not data.are_named and bool(encoder.class_names)
        from export.litert.verification.verify import tflite_files
        from export.litert.verification.verify import verify as verify_encoders
        from export.saved_model.served_encoder import ServedEncoder

        files = tflite_files(litert, encoder.fingerprint)  # before the work, what would fail after
        _check_given_limits(context, set(files.values()), saved_model is not None, labelled)
        pool, database = _inputs(encoder, options.run, data, "query")
        with out.status("Encoding"), notices_kept_back(_CLEAR):
            served = None if saved_model is None else ServedEncoder.load(saved_model)
            found = verify_encoders(
                encoder, pool, litert, served, database, **WorkOptions.among(values).model_dump()
            )
        broken = limits.broken(found)
        if json_file is not None:
            figures = found.model_dump(mode="json")
            write_json(json_file, {**figures, "limits": limits.model_dump(), "broken": broken})
        _print_verification(found, "vectors" if encoder.takes_vectors else "images")
        for problem in broken:
            warn("[bold red]Limit broken:[/]", problem)
        if broken:
            warn("[bold]What may help:[/]", _ADVICE)
    if broken:
        raise typer.Exit(1)


@contextmanager
def _errors_exit_with_2() -> Iterator[None]:
    """`clear_errors` with another exit code, since 1 says that a limit is broken."""
    try:
        with clear_errors():
            yield
    except typer.Exit:
        raise typer.Exit(2) from None


def _check_given_limits(
    context: typer.Context, kinds: set["Kind"], served: bool, labelled: bool
) -> None:
    """Refuses a limit on the command line that no file can break."""
    if is_given(context, "map_loss") and not labelled:
        raise ValueError(
            "--map-loss cannot be measured on --image-folder, --vectors or a run without labels"
        )
    for name, needed in _NEEDED_KINDS.items():
        held_by_served = served and name == "float32_bits"
        if is_given(context, name) and not held_by_served and not kinds.issuperset(needed):
            raise ValueError(
                f"--{name.replace('_', '-')} cannot be measured without files of "
                f"{' and '.join(needed)} in --litert. Received: {', '.join(sorted(kinds))}"
            )


def _print_verification(found: "Verification", kind: str) -> None:
    labelled = found.database is not None
    database = f" queries against {found.database:,} database codes" if labelled else ""
    print_facts(
        {
            kind: f"{found.images:,}{database}",
            "bits": found.bits,
            "code space": found.fingerprint,
            **({"server's mAP": f"{found.server_map:.4f}"} if labelled else {}),
        }
    )
    margin = found.encoders[0].agreement.margin
    measured = ("mAP", "loss") if labelled else ()
    headings = ("codes", *measured, "neighbours", "bits", "worst bit", f"|u|>{margin:g}")
    _print_table(headings, [_code_cells(encoder) for encoder in found.encoders])
    _print_table(
        ("file", "bytes", "size", "ms ×1", "ratio", "ms ×2", "ratio"),
        [_file_cells(encoder) for encoder in found.encoders if encoder.kind is not None],
    )


def _print_table(headings: tuple[str, ...], rows: list[list[str]]) -> None:
    table = Table(show_edge=False, pad_edge=False)  # fits into 80 columns
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print()
    print_whole(table)


def _code_cells(encoder: "EncoderReport") -> list[str]:
    agreement = encoder.agreement
    worst = agreement.by_bit[agreement.worst_bit]
    beyond = agreement.beyond_margin
    measured = [] if encoder.map is None else [f"{encoder.map:.4f}", f"{encoder.map_loss:+.4f}"]
    return [
        _short_name(encoder),
        *measured,
        f"{encoder.neighbours:.1%}",
        f"{agreement.overall:.3%}",
        f"{worst:.1%} ({agreement.worst_bit})",
        "" if beyond is None else f"{beyond:.2%}",
    ]


def _file_cells(encoder: "EncoderReport") -> list[str]:
    share = "" if encoder.size_ratio is None else f"{encoder.size_ratio:.1%}"
    cells = [_short_name(encoder), f"{encoder.bytes:,}", share]
    for threads in (1, 2):
        ratio = encoder.latency_ratio.get(threads)
        cells += [f"{encoder.latency_ms[threads]:.2f}", "" if ratio is None else f"{ratio:.2f}"]
    return cells


def _short_name(encoder: "EncoderReport") -> str:
    return encoder.name.removeprefix("encoder-").removesuffix(".tflite")
