"""`python -m training`: the command line."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from keras_hashing.command_line.errors import clear_errors, start_tensorflow
from keras_hashing.command_line.options import given, options_of, with_options
from keras_hashing.command_line.stages import show_stages, stage
from keras_hashing.retrieval.figures import FIGURES
from training.compare.cli import compare
from training.data.dataset_place import check_data, check_place
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.settings.config_file import read_config
from training.trainer.early_checks import check_new_run, check_resumed_run
from training.trainer.processes import processes_of

if TYPE_CHECKING:
    from training.runs.run_data import RunData
    from training.runs.run_folder import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    callback=show_stages,
    help="Train hash models and measure them.",
)
app.add_typer(compare, name="compare")
_out = Console()

RunFolderOption = Annotated[Path, typer.Option("--run", help="Folder of a finished run.")]


@app.command(
    epilog="Example: python -m training fit --dataset fashion_mnist --download "
    "--query-per-class 100 --query-part test --epochs 10 --output runs/fashion"
)
@with_options(
    *(option for group in reversed(FitSettings.__bases__) for option in options_of(group))
)
def fit(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option(help="Folder of the run: a new one, or with --resume its folder.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            help="Read settings from a YAML or JSON file, or from a run's config.json. Options on "
            "the command line win, also --no-flip and the like."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the interrupted run in --output.")
    ] = False,
    **values: Any,
) -> None:
    """Train a hash model and measure it.

    The run folder holds the configuration, model.keras, the history, metrics.json, the packed
    codes of the database and TensorBoard logs. The same settings and seed give the same result
    on the same machine. Resume an interrupted run with --resume.
    """
    with clear_errors():
        chosen = {**({} if config is None else read_config(config)), **given(context, FitSettings)}
        if resume and processes_of().count == 1:
            check_resumed_run(output, chosen)
        if not resume:
            settings = FitSettings.check(chosen)
            check_new_run(settings, output)
        start_tensorflow()
        from training.trainer import fit as fitting

        if resume:
            metrics = fitting.resume(output, chosen, verbose=_verbosity())
        else:
            metrics = fitting.fit(settings, output, verbose=_verbosity())
    if metrics:  # else the first of the processes that trained together has them
        _print_metrics(metrics, f"Run {output}")


def _verbosity() -> int:
    """A progress bar on a terminal, a line per epoch elsewhere."""
    return 1 if _out.is_terminal else 2


@app.command(epilog="Example: python -m training evaluate --run runs/fashion --k 1000")
def evaluate(
    run: RunFolderOption,
    data_dir: Annotated[
        str | None, typer.Option(help="Where the data is now. (default: as in the run)")
    ] = None,
    image_root: Annotated[
        str | None, typer.Option(help="Where listed images are now. (default: as in the run)")
    ] = None,
    k: Annotated[
        int | None, typer.Option(help="Cutoff k of mAP@k and precision@k. (default: as in the run)")
    ] = None,
    radius: Annotated[
        int | None, typer.Option(help="Hamming radius. (default: as in the run)")
    ] = None,
    report: Annotated[
        bool,
        typer.Option(help="Write report.html: queries with their nearest as pictures, and more."),
    ] = True,
    projector: Annotated[
        bool,
        typer.Option(
            "--projector",
            help="Write the database's codes, labels and pictures for TensorBoard's projector into "
            "the run's logs; of more than 2,000, as many spread evenly.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a finished run again, from its saved model, and see what it finds.

    report.html in the run shows queries of each class with their ten nearest, the worst queries,
    distances, and bits. Nothing else in the run is changed, but for --projector.
    """
    with clear_errors():
        _check_finished(run, data_dir, image_root)
        start_tensorflow()
        from training.trainer.evaluate import evaluate_model
        from training.trainer.frozen_features import reference_vectors

        loaded, data = _run_with_data(run, data_dir, image_root)
        settings = loaded.config
        evaluation = evaluate_model(
            loaded.model,
            data.dataset,
            data.split,
            loaded.preprocessing,
            k=settings.k if k is None else k,
            radius=settings.radius if radius is None else radius,
            verbose=1 if _out.is_terminal and not as_json else 0,
            vectors=reference_vectors(settings, data, RunFolder(run), loaded.model),
        )
        about = {name: loaded.metrics[name] for name in ("dataset", "protocol", "protocol_options")}
        metrics = {**about, "fingerprint": loaded.encoder.fingerprint, **evaluation.figures}
        if report:
            from training.run_report.run_report import write_report

            path, facts = RunFolder(run).report, dict(_rows(metrics))
            with stage("Writing the report"):
                write_report(path, f"Run {run}", facts, evaluation, data)
        if projector:
            from training.run_report.projector import write_projector

            with stage("Writing what the projector shows"):
                write_projector(RunFolder(run).logs, evaluation, data)
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    _print_metrics(metrics, f"Run {run}, measured again")
    if report:
        _out.print(f"Report: {path}", markup=False, soft_wrap=True)


@app.command(epilog="Example: python -m training images --run runs/digits --output runs/images")
def images(
    run: RunFolderOption,
    output: Annotated[Path, typer.Option(help="Folder to write the image files to.")],
    part: Annotated[
        Literal["query", "train", "database"], typer.Option(help="Part of the split.")
    ] = "query",
    count: Annotated[
        int, typer.Option(help="Number of images, spread evenly over the part.", min=1)
    ] = 5,
    data_dir: Annotated[
        str | None, typer.Option(help="Where the data is now. (default: as in the run)")
    ] = None,
    image_root: Annotated[
        str | None, typer.Option(help="Where listed images are now. (default: as in the run)")
    ] = None,
) -> None:
    """Write images of a run's split as files, for example to query a server with them."""
    with clear_errors():
        _check_finished(run, data_dir, image_root)
        start_tensorflow()
        import numpy as np

        _, data = _run_with_data(run, data_dir, image_root)
        (dataset, _), positions = data.images, getattr(data.split, part)
        count = min(count, len(positions))
        output.mkdir(parents=True, exist_ok=True)
        for position in positions[np.linspace(0, len(positions) - 1, count, dtype=int)]:
            labels = [dataset.class_names[c] for c in np.flatnonzero(dataset.labels[position])]
            name = "_".join([dataset.ids[position], *labels]).replace(os.sep, "-")
            content, suffix = dataset.images.encoded_image(int(position))
            path = output / f"{name}{suffix}"
            path.write_bytes(content)
            print(path)


@app.command(
    epilog="Example: python -m training mosaics --dataset cifar10 --data-dir DATA "
    "--output mosaics; then python -m training fit --dataset lists --data-dir mosaics "
    "--protocol lists --k 1000 --output runs/mosaics"
)
def mosaics(
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    dataset: Annotated[
        str, typer.Option(help="Data set of the source images, which have the same size.")
    ] = "cifar10",
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let TFDS download and prepare the data set.")
    ] = False,
    query: Annotated[int, typer.Option(help="Number of mosaics to search with.")] = 500,
    train: Annotated[int, typer.Option(help="Number of those in the database to train on.")] = 2000,
    database: Annotated[int, typer.Option(help="Number of mosaics to search in.")] = 5000,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Make multi-label images: 2×2 mosaics with the labels of all four, and their list files.

    Each source image is used at most once.
    """
    with clear_errors():
        check_place(dataset, data_dir, download=download)
        start_tensorflow()
        from training.data import load_dataset
        from training.data.sources.mosaics import write_mosaics

        with stage("Reading images"):
            sources = load_dataset(dataset, data_dir, download=download)
        write_mosaics(sources, output, query=query, train=train, database=database, seed=seed)
    _out.print(
        f"{query:,} mosaics to search with and {database:,} to search in, {train:,} of them to "
        f"train on: {output}"
    )


def _check_finished(run: Path, data_dir: str | None, image_root: str | None) -> None:
    """Refuses what is no finished run, and data that is not there."""
    folder = RunFolder(run)
    folder.check_finished()
    settings = FitSettings.check(folder.read_json(folder.config)["settings"])
    check_data(settings.moved(data_dir, image_root))


def _run_with_data(
    run: Path, data_dir: str | None, image_root: str | None
) -> tuple["Run", "RunData"]:
    """A finished run and the data it was trained on."""
    from training.runs.run_folder import load_run

    with stage("Loading the run"):
        loaded = load_run(run)
    return loaded, loaded.data(data_dir, image_root)


def _print_metrics(metrics: dict[str, Any], title: str) -> None:
    """The figures as a table for a reader."""
    table = Table(title=title, title_justify="left", show_header=False)
    for row in _rows(metrics):
        table.add_row(*row)
    _out.print(table)


def _rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("data set", metrics["dataset"]),
        ("protocol", _protocol(metrics)),
        ("queries / database", f"{metrics['queries']:,} / {metrics['database']:,}"),
        ("bits", str(metrics["bits"])),
    ]
    for figure in FIGURES.values():
        value = metrics.get(figure.key)
        if value is not None:
            better = f" ({figure.better} is better)" if figure.better else ""
            heading = figure.heading(metrics["k"], metrics["radius"])
            rows.append((f"{heading}{better}", f"{value:,.{figure.digits}f}"))
    for part in ("training", "evaluation"):
        if f"{part}_seconds" in metrics:
            rows.append((f"seconds of {part}", f"{metrics[f'{part}_seconds']:.1f}"))
    return [*rows, ("code space", metrics["fingerprint"])]


def _protocol(metrics: dict[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in metrics["protocol_options"].items())
    return f"{metrics['protocol']} ({options})" if options else metrics["protocol"]
