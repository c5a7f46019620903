"""`python -m training compare`."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from keras_hashing.command_line.errors import clear_errors, is_given, start_tensorflow

compare = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="markdown",
)

_DATA = "Data and backbone"
_GRID = "Grid"
_RECIPE = "Recipe"
_FINE_TUNING = "With --fine-tune, as in `fit`"

Number = TypeVar("Number", int, float)


def _option(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


@compare.callback(
    epilog="Example: python -m training compare --data-dir DATA --download --height 128 "
    "--width 128 --output runs/compare --tune; then the same without --tune"
)
def run(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the comparison: made here, or gone on with. (required)",
            show_default=False,
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose weight and place of each quantization on a validation part of the "
            "training set, at 32 bits with the first seed, write them, and stop.",
        ),
    ] = False,
    features_only: Annotated[
        bool, typer.Option("--features-only", help="Compute the features, and stop.")
    ] = False,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune",
            help="Train the whole backbone in each run, as `fit` does, instead of a head on "
            "features that are computed once.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes. (default: one a core; with --fine-tune one)", min=1),
    ] = None,
    dataset: Annotated[
        str, _option("'digits', 'folder', 'lists', or a TFDS data set, as in `fit`.", _DATA)
    ] = "cifar10",
    data_dir: Annotated[str | None, _option("Where the images are.", _DATA)] = None,
    image_root: Annotated[
        str | None, _option("Where relative paths of list files start.", _DATA)
    ] = None,
    download: Annotated[bool, _option("Let TFDS download the data.", _DATA, "--download")] = False,
    on_bad_image: Annotated[
        Literal["error", "skip"],
        _option("What a file in a folder or a list that is no readable image is.", _DATA),
    ] = "error",
    protocol: Annotated[
        str,
        _option(
            "'cifar10', 'cifar10-1' or 'cifar10-2' of CIFAR-10; 'per-class' for other data; of "
            "lists the protocols of `fit`.",
            _DATA,
        ),
    ] = "cifar10",
    query_per_class: Annotated[
        int | None, _option("per-class: query images a class. (default: 20)", _DATA)
    ] = None,
    train_per_class: Annotated[
        int | None,
        _option("per-class: training images a class. (default: the whole database)", _DATA),
    ] = None,
    query_part: Annotated[
        str | None,
        _option("per-class: draw the query from this part only, such as 'test'.", _DATA),
    ] = None,
    backbone: Annotated[
        str, _option("Network that gives the features, frozen but for --fine-tune.", _DATA)
    ] = "efficientnet-lite0",
    height: Annotated[int | None, _option("Height that images are resized to.", _DATA)] = None,
    width: Annotated[int | None, _option("Width that images are resized to.", _DATA)] = None,
    channels: Annotated[int | None, _option("1 or 3.", _DATA)] = None,
    features_dir: Annotated[
        Path, _option("Where computed features are kept, for other comparisons too.", _DATA)
    ] = Path("runs/features"),
    methods: Annotated[
        str,
        _option(
            "'all', or some of csq, dch, dhn, dpsh, dsdh, greedyhash, hashnet, orthohash, with "
            "commas between.",
            _GRID,
        ),
    ] = "all",
    quantizations: Annotated[
        str, _option("Among none, native, sign, hswd, swd, ot.", _GRID)
    ] = "none,native,sign,hswd,swd",
    bits: Annotated[str, _option("Lengths of the code, multiples of 8.", _GRID)] = "16,32,64",
    seeds: Annotated[
        str, _option("Seeds: each draws a split and initial weights.", _GRID)
    ] = "0,1,2",
    tune_weights: Annotated[
        str,
        _option("--tune: the three weights that are tried on the raw and the relaxed code.", _GRID),
    ] = "0.01,0.1,1",
    hidden: Annotated[
        int,
        _option("Units of the head's hidden layer; with --fine-tune also 0: none.", _RECIPE),
    ] = 512,
    dropout: Annotated[float, _option("Share of the features dropped in training.", _RECIPE)] = 0.3,
    epochs: Annotated[int, _option("Epochs.", _RECIPE)] = 25,
    batch_size: Annotated[int, _option("Images in a batch.", _RECIPE)] = 128,
    learning_rate: Annotated[
        float,
        _option("Adam's learning rate, with --fine-tune AdamW's; cosine decay to 0.", _RECIPE),
    ] = 1e-3,
    backbone_rate: Annotated[
        float,
        _option("The backbone's learning rate, as a share of that of the rest.", _FINE_TUNING),
    ] = 1.0,
    weight_decay: Annotated[float, _option("Weight decay of AdamW.", _FINE_TUNING)] = 1e-4,
    average_weights: Annotated[
        float,
        _option("Momentum of a moving average of the weights; 0: the last ones.", _FINE_TUNING),
    ] = 0.0,
    flip: Annotated[
        bool, _option("Mirror half of the training images.", _FINE_TUNING, "--flip")
    ] = False,
    shift: Annotated[
        int, _option("Shift training images by up to so many pixels.", _FINE_TUNING)
    ] = 0,
    crop: Annotated[
        float, _option("Random crops of at least this share of the area.", _FINE_TUNING)
    ] = 1.0,
    colour: Annotated[
        float,
        _option("Vary brightness, contrast, saturation by up to this share.", _FINE_TUNING),
    ] = 0.0,
    erase: Annotated[
        float, _option("Probability that a rectangle of the image is erased.", _FINE_TUNING)
    ] = 0.0,
    k: Annotated[
        int | None,
        _option("Cut of mAP@k and precision@k. (default: the protocol's, or 1000)", _RECIPE),
    ] = None,
    radius: Annotated[int, _option("Hamming radius of precision in it.", _RECIPE)] = 2,
) -> None:
    """Train a grid of methods × quantizations × bits × seeds, on frozen features or fine-tuned.

    Each finished run is on the disk at once: the same command goes on where an interrupted one
    was, with --fine-tune from the last epoch of the run. With --tune first, weight and place of
    each quantization are chosen with the same budget for every column; without, they are 0.3 on
    the raw code, native as in the method's paper.
    `compare report` makes tables, figures and a page.
    """
    if context.invoked_subcommand is not None:
        return
    with clear_errors():
        if output is None:
            raise ValueError("--output must be given: the folder of the comparison")
        if is_given(context, "tune_weights") and not tune:
            raise ValueError(
                "`tune_weights` are what the choice of settings tries: add --tune. "
                f"Received: {tune_weights!r}"
            )
        start_tensorflow()
        from training.compare.comparison import Comparison, default_workers
        from training.compare.grid import Grid
        from training.compare.recipe import Recipe
        from training.data.protocols import MAP_AT

        values = {
            name: context.params[name] for name in Recipe.model_fields if name in context.params
        }
        values["fine_tuning"] = _fine_tuning(context, fine_tune)
        if k is None:
            values["k"] = MAP_AT.get(protocol, 1000)
        recipe = Recipe.check(values)
        grid = Grid(
            methods=_method_names(methods),
            quantizations=_names(quantizations),
            bits=_numbers("bits", bits, int),
            seeds=_numbers("seeds", seeds, int),
            tune_weights=_numbers("tune_weights", tune_weights, float),
        )
        comparison = Comparison(
            recipe,
            grid,
            output,
            features_dir,
            data_dir,
            image_root,
            download,
            on_bad_image,
            workers=default_workers(recipe) if workers is None else workers,
        )
        if features_only:
            return
        for column, reason in comparison.not_run().items():
            print(f"Left out: {' '.join(column)}: {reason}")
        if tune:
            for (method, quantization), (choice, value) in comparison.tune().items():
                print(f"{method:12}{quantization:8}{choice.weight:<6g}{choice.place:10}{value:.4f}")
            return
        comparison.run()
        _report(output)


@compare.command(epilog="Example: python -m training compare report --output runs/compare")
def report(
    output: Annotated[Path, typer.Option(help="Folder of the comparison, finished or not.")],
) -> None:
    """Write tables (Markdown, CSV), figures and one page (HTML) of a comparison."""
    with clear_errors():
        start_tensorflow()
        _report(output)


def _report(output: Path) -> None:
    from training.compare.report.report import write_report

    print(f"Report: {write_report(output)}")


def _fine_tuning(context: typer.Context, fine_tune: bool) -> dict[str, Any] | None:
    """The options of fine-tuning.

    Raises:
        ValueError: naming an option that has no meaning without it, or with it.
    """
    from training.compare.recipe import FineTuning

    values = {name: context.params[name] for name in FineTuning.model_fields}
    if not fine_tune:
        for name, value in values.items():
            if is_given(context, name):
                raise ValueError(
                    f"`{name}` is an option of fine-tuning: add --fine-tune. Received: {value!r}"
                )
        return None
    for name in ("features_only", "features_dir"):
        if is_given(context, name):
            raise ValueError(
                f"`{name}` is about the features of a frozen backbone: leave it out with "
                f"--fine-tune. Received: {str(context.params[name])!r}"
            )
    return values


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _method_names(text: str) -> tuple[str, ...]:
    from keras_hashing import methods

    return tuple(methods.available()) if text.strip() == "all" else _names(text)


def _numbers(name: str, text: str, kind: type[Number]) -> tuple[Number, ...]:
    try:
        return tuple(kind(part) for part in _names(text))
    except ValueError:
        numbers = "whole numbers" if kind is int else "numbers"
        raise ValueError(
            f"`{name}` must be {numbers} with commas between. Received: {text!r}"
        ) from None
