"""The commands that a report prints: each runs as it stands there."""

import shlex

from pydantic import BaseModel

from training.compare.comparison_folder import FEATURES_DIR
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Cell
from training.compare.grid import TUNED_WEIGHTS, is_closed_form
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.settings import FitSettings
from training.settings.recipes import RECIPES


def commands_of(results: ComparisonResults) -> list[str]:
    """The commands that make these results: the choice of settings comes first.

    Quantizations that were run with fewer methods or lengths than others have commands of their
    own.
    """
    words = ["python", "-m", "training", "compare"]
    recipe = results.recipe
    words += _options(recipe, without=("fine_tuning",))
    if recipe.fine_tuning is not None:
        words += ["--fine-tune", *_options(recipe.fine_tuning)]
    words += _options(results.place, without=tuple(Recipe.model_fields))
    if recipe.fine_tuning is None and results.features_dir != FEATURES_DIR:
        words += ["--features-dir", str(results.features_dir)]
    commands = []
    for lists, quantizations in _blocks(results).items():
        for methods, names in _tuned_together(results, lists[0], quantizations).items():
            command = _command(words, results, names, (methods, *lists[1:]))
            commands.append(f"{command} --tune{_tune_weights(results)}")
        commands.append(_command(words, results, quantizations, lists))
    return commands


def _command(
    words: list[str],
    results: ComparisonResults,
    quantizations: list[str],
    lists: tuple[tuple, ...],
) -> str:
    words = [*words, "--quantizations", ",".join(quantizations)]
    for name, values in zip(("methods", "bits", "seeds"), lists, strict=True):
        words += [f"--{name}", ",".join(map(str, values))]
    return shlex.join([*words, "--output", str(results.folder.path)])


def fit_command(results: ComparisonResults, cell: Cell) -> str | None:
    """The command that trains a setting as a run of its own; None for a schedule of its own pace.

    With a frozen backbone it is the same network and loss, trained by AdamW.
    """
    line = next(
        line
        for run, line in results.results.items()
        if (run.method, run.quantization, run.bits) == cell and line.get("status") == "done"
    )
    run, recipe = GridRun.of(line), results.recipe
    if run.place == "schedule" and run.weight != 1:
        return None
    fields = FitSettings.model_fields
    values = {name: value for name, value in recipe if name in fields}
    values |= results.place.model_dump(exclude_unset=True)
    values |= {"k": line["k"], "radius": line["radius"], "method": run.method, "bits": run.bits}
    values |= {
        name: value for name, value in run.quantization_arguments.items() if value is not None
    }
    values |= {"frozen": True} if recipe.fine_tuning is None else dict(recipe.fine_tuning)
    if run.place not in ("raw", "relaxed"):
        del values["quantization_weight"], values["quantize"]
    if is_closed_form(run.method):
        values["hidden"] = 0
    settings = FitSettings.check(values)
    # The command takes the recipe of vectors by itself, which has defaults of its own.
    words = _options(settings, always=tuple(RECIPES.get(settings.recipe or "", ())))
    return shlex.join(["python", "-m", "training", "fit", *words, "--output", "runs/chosen"])


def _blocks(results: ComparisonResults) -> dict[tuple[tuple, ...], list[str]]:
    """The quantizations that were run with the same methods, lengths and seeds.

    Methods for which a quantization does not exist count as run with it.
    """
    blocks: dict[tuple[tuple, ...], list[str]] = {}
    for quantization in results.quantizations:
        runs = [run for run in results.results if run.quantization == quantization]
        names = {run.method for run in runs}
        names |= {method for method, name in results.not_run if name == quantization}
        lengths, seeds = {run.bits for run in runs}, {run.seed for run in runs}
        key = tuple(tuple(sorted(values)) for values in (names, lengths, seeds))
        blocks.setdefault(key, []).append(quantization)
    return blocks


def _tuned_together(
    results: ComparisonResults, methods: tuple[str, ...], quantizations: list[str]
) -> dict[tuple[str, ...], list[str]]:
    """Quantizations by the methods that they were tuned with; those that were not are left out."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name in quantizations:
        tuned = {method for method in methods if results.is_tuned((method, name))}
        if tuned:
            absent = {method for method, none in results.not_run if none == name}
            key = tuple(method for method in methods if method in tuned | absent)
            together.setdefault(key, []).append(name)
    return together


def _tune_weights(results: ComparisonResults) -> str:
    tried = results.tuned_weights
    if tried in ([], sorted(TUNED_WEIGHTS)):
        return ""
    return f" --tune-weights {','.join(f'{weight:g}' for weight in tried)}"


def _options(
    model: BaseModel, without: tuple[str, ...] = (), always: tuple[str, ...] = ()
) -> list[str]:
    """The fields that are not at their default, and `always` some, as options of the command."""
    words = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if name not in without and (name in always or value != field.default):
            option = name.replace("_", "-")
            flags = {True: [f"--{option}"], False: [f"--no-{option}"]}
            words += flags[value] if isinstance(value, bool) else [f"--{option}", str(value)]
    return words
