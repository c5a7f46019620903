"""`python -m training compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_hashing.command_line.errors import clear_errors, is_given, start_tensorflow
from keras_hashing.command_line.options import given, options_of, with_options
from keras_hashing.settings import Settings
from training.backbones import check_weights
from training.compare.comparison_folder import FEATURES_DIR, ComparisonFolder
from training.compare.grid import Grid
from training.compare.recipe import FineTuning, Published, Recipe
from training.data.dataset_place import check_data
from training.settings import DataSettings, SplitSettings

compare = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="markdown",
)

_DATA = "Data and backbone"
_IMAGES = ("backbone", "height", "width", "channels")
_TRAINING = ("hidden", "dropout", "epochs", "batch_size", "learning_rate", "k", "radius")
_QUANTIZATION = ("quantization_weight", "quantize")


@compare.callback(
    epilog="Example: python -m training compare --data-dir DATA --download --height 128 "
    "--width 128 --output runs/compare --tune; then the same without --tune",
    help="""Train a grid of methods × quantizations × bits × seeds, frozen or fine-tuned.

    Each finished run is saved at once. Repeat the command to resume an interrupted comparison;
    with --fine-tune it resumes from the last epoch. Run it with --tune first to choose weight and
    place of each quantization, with the same budget for every column. Without, they are
    --quantization-weight and --quantize, and for 'native' those of the method's paper.
    `compare report` writes a page that says which setting to take, with figures and tables.""",
)
@with_options(
    *options_of(Published),
    *options_of(Grid),
    *options_of(Recipe, ("dataset",), _DATA),
    *options_of(DataSettings, ("data_dir", "image_root", "download", "on_bad_image"), _DATA),
    *options_of(Recipe, (*SplitSettings.model_fields, *_IMAGES), _DATA),
    *options_of(Recipe, (*_TRAINING, *_QUANTIZATION)),
    *options_of(FineTuning),
)
def run(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the comparison: a new one, or one to resume. (required)",
            show_default=False,
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose weight and place of each quantization on a validation part of the "
            "training set, at 32 bits with the first seed; save them, and stop.",
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
        typer.Option(
            help="Number of processes. (default: one per core; with --fine-tune one)", min=1
        ),
    ] = None,
    features_dir: Annotated[
        Path,
        typer.Option(
            help="Folder for computed features; comparisons may share it.", rich_help_panel=_DATA
        ),
    ] = FEATURES_DIR,
    **values: Any,
) -> None:
    """See the command's help."""
    if context.invoked_subcommand is not None:
        return
    with clear_errors():
        if output is None:
            raise ValueError("--output must be given: the folder of the comparison")
        recipe, grid, place = _settings(context, tune, fine_tune)
        _check_early(recipe, grid, place, ComparisonFolder(output))
        start_tensorflow()
        from training.compare.comparison import Comparison, default_workers

        comparison = Comparison(
            recipe,
            grid,
            output,
            features_dir,
            place,
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
    data_dir: Annotated[
        str | None,
        typer.Option(help="Where the data is now, for the pictures. (default: as compared)"),
    ] = None,
    image_root: Annotated[
        str | None, typer.Option(help="Where listed images are now. (default: as compared)")
    ] = None,
) -> None:
    """Write tables (Markdown, CSV), figures and one page (HTML) of a comparison.

    The page says which setting to take, and shows what the best ones find.
    """
    with clear_errors():
        ComparisonFolder(output).read_settings()
        start_tensorflow()
        moved = {"data_dir": data_dir, "image_root": image_root}
        _report(output, {name: where for name, where in moved.items() if where is not None})


def _report(output: Path, moved: dict[str, str] | None = None) -> None:
    from training.compare.comparison_report.report import write_report

    print(f"Report: {write_report(output, moved)}")


def _settings(
    context: typer.Context, tune: bool, fine_tune: bool
) -> tuple[Recipe, Grid, DataSettings]:
    """What the options ask for; where the data lies is no part of the recipe."""
    published = Published.check(given(context, Published)).values

    def asked(model: type[Settings]) -> dict[str, Any]:
        named = {name: value for name, value in published.items() if name in model.model_fields}
        return {**named, **given(context, model)}

    of_grid = asked(Grid)
    if "tune_weights" in of_grid and not tune:
        raise ValueError(
            "`tune_weights` are what the choice of settings tries: add --tune. "
            f"Received: {of_grid['tune_weights']!r}"
        )
    tuned = asked(FineTuning)
    fine_tuning = _fine_tuning(context, tuned) if fine_tune or published else None
    if fine_tuning is None:
        for name, value in tuned.items():
            raise ValueError(
                f"`{name}` is an option of fine-tuning: add --fine-tune. Received: {value!r}"
            )
    recipe = Recipe.check({**asked(Recipe), "fine_tuning": fine_tuning})
    place = DataSettings.check({"dataset": recipe.dataset, **given(context, DataSettings)})
    return recipe, Grid.check(of_grid), place


def _check_early(recipe: Recipe, grid: Grid, place: DataSettings, folder: ComparisonFolder) -> None:
    """Refuses what needs no TensorFlow: see `training.trainer.early_checks`."""
    recipe.check_grid(grid)
    check_data(place)
    check_weights(recipe.backbone, None)
    if folder.settings.exists():
        folder.keep_settings({"recipe": recipe.model_dump(mode="json")})


def _fine_tuning(context: typer.Context, chosen: dict[str, Any]) -> FineTuning:
    """The options of fine-tuning.

    Raises:
        ValueError: naming an option that has no meaning with it.
    """
    for name in ("features_only", "features_dir"):
        if is_given(context, name):
            raise ValueError(
                f"`{name}` is about the features of a frozen backbone: leave it out with "
                f"--fine-tune or --recipe. Received: {str(context.params[name])!r}"
            )
    return FineTuning.check(chosen)
