"""`python -m export litert` and `verify`: the encoder on a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from keras_hashing.command_line.errors import (
    clear_errors,
    is_given,
    notices_kept_back,
    start_tensorflow,
    warn,
)
from keras_hashing.command_line.printing import out, print_facts

if TYPE_CHECKING:
    from export.litert.verification.limits import Limits
    from export.litert.verification.verify import EncoderReport, Verification
    from keras_hashing.device.kinds import Kind
    from training.runs.run_folder import Run

# The converter reports each step, at a level that no setting silences.
_CLEAR = (ValueError, OSError, ImportError)

_DATA = "Data of the run"
_FILES = "Files"
_INT8 = "Full int8"
_SEARCH = "Search on the device"
_WORK = "Work"
_LIMITS = "Limits (exit code 1 when one is broken, 2 for any error)"
_OUTPUT = "Output"

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

RunOption = Annotated[
    Path,
    typer.Option(
        "--run", help="Folder of a finished run, as `python -m training fit --output` wrote it."
    ),
]
DataDirOption = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        help="Where the data is now. (default: as in the run)",
        rich_help_panel=_DATA,
    ),
]
ImageRootOption = Annotated[
    str | None,
    typer.Option(
        "--image-root",
        help="Where listed images are now. (default: as in the run)",
        rich_help_panel=_DATA,
    ),
]


def litert(
    run: RunOption,
    output: Annotated[Path, typer.Option(help="Folder of the .tflite files; made if need be.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="'float32', 'float16' (half the size), 'dynamic-range' (int8 weights) or 'int8' "
            "(int8 arithmetic); repeat it for more. (default: all four)",
            rich_help_panel=_FILES,
        ),
    ] = None,
    continuous: Annotated[
        bool,
        typer.Option(
            "--continuous",
            help="Give the continuous code as well, as a second output.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    free_batch: Annotated[
        bool,
        typer.Option(
            "--free-batch",
            help="Take any number of images at a time, in place of one.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace existing files.", rich_help_panel=_FILES),
    ] = False,
    calibration_images: Annotated[
        int,
        typer.Option(
            help="Images of the run's training set that the ranges of activations come from; all "
            "of them if there are fewer.",
            rich_help_panel=_INT8,
        ),
    ] = 500,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Seed that draws these images.", rich_help_panel=_INT8),
    ] = 0,
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
    data_dir: DataDirOption = None,
    image_root: ImageRootOption = None,
) -> None:
    """Write a run's encoder as .tflite files for LiteRT (TensorFlow Lite), for phones and the like.

    One signature, encode: an image of the run's size, uint8 [1, height, width, channels] → code,
    uint8 [1, bits/8], packed as the server packs it. Built-in operators only. The file carries
    what it is: read it by `keras_hashing.device.metadata.read_metadata`.
    """
    with clear_errors():
        start_tensorflow()
        from export.index.load_index import check_code_space, load_index
        from export.litert.calibration import calibration_images as draw
        from export.litert.export_litert import export_litert
        from export.litert.search_file import check_export_search, export_search
        from keras_hashing.device.kinds import KINDS, check_kinds

        kinds = check_kinds(KINDS if kind is None else kind)
        loaded = _load_run(run)
        database = None if index is None else load_index(index)
        if index is not None and database is not None:
            check_code_space(database, index, loaded.fingerprint, f"--run {run}")
            check_export_search(database, output, k, replace)  # before the encoders are written
        images = None
        if "int8" in kinds:
            images = draw(loaded.data(data_dir, image_root), calibration_images, seed)
        with out.status("Converting") as status, notices_kept_back(_CLEAR):
            paths = export_litert(
                loaded,
                output,
                kinds,
                images,
                free_batch=free_batch,
                continuous=continuous,
                replace=replace,
                begin=lambda now: status.update(f"Converting to {now}"),
            )
            if database is not None:
                status.update("Converting the index")
                paths.append(export_search(database, output, k, replace))
        for path in paths:
            print_facts({path.name: f"{path.stat().st_size:,} bytes"})
        print_facts({"bits": loaded.model.bits, "code space": loaded.fingerprint})


def verify(
    context: typer.Context,
    run: RunOption,
    litert: Annotated[Path, typer.Option(help="Folder of the run's .tflite files.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run's SavedModel: one version, or all of them, of which the "
            "highest is taken. (default: none)"
        ),
    ] = None,
    images: Annotated[
        int,
        typer.Option(
            min=1,
            help="Query images to encode, spread evenly; all of them if there are fewer.",
            rich_help_panel=_WORK,
        ),
    ] = 1000,
    margin: Annotated[
        float,
        typer.Option(
            min=0,
            help="Report bits with |u| above this share of the mean |u| on their own.",
            rich_help_panel=_WORK,
        ),
    ] = 0.1,
    latency_rounds: Annotated[
        int,
        typer.Option(min=1, help="Times that each file encodes one image.", rich_help_panel=_WORK),
    ] = 50,
    data_dir: DataDirOption = None,
    image_root: ImageRootOption = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write the figures to this file as well.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    float32_bits: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Least share of bits equal to the Keras model's.",
            rich_help_panel=_LIMITS,
        ),
    ] = 0.999,
    float16_bits: Annotated[
        float, typer.Option(min=0, max=1, help="The same of float16.", rich_help_panel=_LIMITS)
    ] = 0.995,
    dynamic_range_bits: Annotated[
        float,
        typer.Option(min=0, max=1, help="The same of dynamic-range.", rich_help_panel=_LIMITS),
    ] = 0.96,
    int8_bits: Annotated[
        float, typer.Option(min=0, max=1, help="The same of int8.", rich_help_panel=_LIMITS)
    ] = 0.96,
    map_loss: Annotated[
        float,
        typer.Option(
            min=0,
            help="The most that the mAP of device queries may lie below the server's own.",
            rich_help_panel=_LIMITS,
        ),
    ] = 0.01,
    float16_size: Annotated[
        float,
        typer.Option(
            min=0,
            help="Greatest size, as a share of the float32 file's; 8 KiB more are allowed, for "
            "graph and metadata.",
            rich_help_panel=_LIMITS,
        ),
    ] = 0.52,
    int8_size: Annotated[
        float, typer.Option(min=0, help="The same of int8.", rich_help_panel=_LIMITS)
    ] = 0.30,
    int8_latency: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Greatest median latency of int8 with two threads, as a share of float32's. "
            "(default: no limit; it depends on the machine)",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
) -> None:
    """Check that exported encoders agree with the run's Keras model, on real query images.

    Each .tflite file runs on LiteRT's interpreter. mAP is that of people's use: the device's query
    codes against the database codes of the server, next to the server's own. Latency is measured
    here, all files in turn in one run: the ratios mean more than the milliseconds.

    The exit code is 0 when all limits hold, 1 when one is broken and 2 for any error, such as a
    limit that is given but cannot be measured.
    """
    with _errors_exit_with_2():
        if json_file is not None and not json_file.absolute().parent.is_dir():
            raise FileNotFoundError(f"There is no folder for --json {str(json_file)!r}")
        start_tensorflow()
        from export.litert.verification.limits import Limits
        from export.litert.verification.verify import tflite_files
        from export.litert.verification.verify import verify as verify_encoders
        from export.saved_model.served_encoder import ServedEncoder

        loaded = _load_run(run)
        files = tflite_files(litert, loaded.fingerprint)  # before the work, what would fail after
        _check_given_limits(context, set(files.values()), model is not None)
        data = loaded.data(data_dir, image_root)
        with out.status("Encoding"), notices_kept_back(_CLEAR):
            served = None if model is None else ServedEncoder.load(model)
            found = verify_encoders(loaded, data, litert, served, images, margin, latency_rounds)
        limits = Limits(
            bits={
                "float32": float32_bits,
                "float16": float16_bits,
                "dynamic-range": dynamic_range_bits,
                "int8": int8_bits,
            },
            size={"float16": float16_size, "int8": int8_size},
            map_loss=map_loss,
            latency={} if int8_latency is None else {"int8": int8_latency},
        )
        broken = limits.broken(found)
        if json_file is not None:
            _write_json(json_file, found, limits, broken)
        _print_verification(found)
        for problem in broken:
            warn("[bold red]Limit broken:[/]", problem)
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


def _check_given_limits(context: typer.Context, kinds: set["Kind"], served: bool) -> None:
    """Refuses a limit on the command line that no file can break."""
    for name, needed in _NEEDED_KINDS.items():
        held_by_served = served and name == "float32_bits"
        if is_given(context, name) and not held_by_served and not kinds.issuperset(needed):
            raise ValueError(
                f"--{name.replace('_', '-')} cannot be measured without files of "
                f"{' and '.join(needed)} in --litert. Received: {', '.join(sorted(kinds))}"
            )


def _load_run(path: Path) -> "Run":
    from training.runs.run_folder import load_run

    return load_run(path)


def _write_json(path: Path, found: "Verification", limits: "Limits", broken: list[str]) -> None:
    import json

    from keras_hashing.files.atomic_write import atomic_write

    document = {
        **found.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
        "broken": broken,
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n")


def _print_verification(found: "Verification") -> None:
    print_facts(
        {
            "queries": f"{found.images:,} against {found.database:,} database codes",
            "bits": found.bits,
            "code space": found.fingerprint,
            "server's mAP": f"{found.server_map:.4f}",
        }
    )
    margin = found.encoders[0].agreement.margin
    beyond = f"|u| > {margin:g} mean"
    _print_table(
        ("codes", "equal bits", "worst (bit)", beyond, "mAP", "to server's"),
        [_code_cells(encoder) for encoder in found.encoders],
    )
    _print_table(
        ("file", "bytes", "of float32", "ms, 1 thread", "ratio", "2 threads", "ratio"),
        [_file_cells(encoder) for encoder in found.encoders if encoder.kind is not None],
    )


def _print_table(headings: tuple[str, ...], rows: list[list[str]]) -> None:
    table = Table()
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


def _code_cells(encoder: "EncoderReport") -> list[str]:
    agreement = encoder.agreement
    worst = agreement.by_bit[agreement.worst_bit]
    beyond = agreement.beyond_margin
    return [
        _short_name(encoder),
        f"{agreement.overall:.3%}",
        f"{worst:.1%} ({agreement.worst_bit})",
        "" if beyond is None else f"{beyond:.3%}",
        f"{encoder.map:.4f}",
        f"{0.0 - encoder.map_loss:+.4f}",
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
