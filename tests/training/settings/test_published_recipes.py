"""The recipes that others published: as documented, and trained for a moment."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.main import get_command

from training.cli import app
from training.compare.cli import _settings
from training.compare.comparison import Comparison
from training.compare.comparison_report.report import write_report
from training.compare.grid import Choice, Grid
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.settings.recipes import RECIPES
from training.trainer.fit import fit
from training.trainer.preparation import Preparation
from training.trainer.trainer import Trainer

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "fine-tuning.md"
PUBLISHED = ("hswd-2022", "hswd-h2q")
SMALL = {"backbone": "small-cnn", "height": 8, "width": 8, "bits": 16, "train_per_class": 20}


def test_the_recipes_are_what_the_document_says_line_by_line() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert rows
    for recipe, column in zip(PUBLISHED, zip(*(row[1:] for row in rows), strict=True), strict=True):
        names = [name for name, *_ in rows]
        settings = FitSettings.check({"recipe": recipe, "dataset": "digits"}).model_dump(
            mode="json"
        )
        assert set(RECIPES[recipe]) <= set(names)
        said = {
            name: str(value).lower() if isinstance(value := settings[name], bool) else str(value)
            for name in names
        }
        assert said == dict(zip(names, column, strict=True))
        assert not FitSettings.check({"recipe": recipe}).augmentation.changes_images


def test_the_scale_grows_by_epochs_and_the_memory_holds_all_training_images() -> None:
    settings = FitSettings.check({"recipe": "hswd-2022", **SMALL})
    prepared = Preparation.load(settings)
    training = Trainer(prepared, RunFolder("unused"), checkpoint=None)
    assert training.model.method.memory.codes.shape == (200, 16)
    assert training.steps_per_epoch == 4  # 200 images in batches of 64
    (continuation,) = (
        one for one in training.callbacks(RunFolder("unused")) if hasattr(one, "beta_at")
    )
    continuation.set_model(training.model)
    for epoch in (0, 19, 20, 39, 40, 199):
        for step in (4 * epoch, 4 * epoch + 3):
            assert continuation.beta_at(step) == pytest.approx(np.sqrt(epoch // 20 + 1))
    optimizer = training.model.optimizer
    assert (float(optimizer.learning_rate), optimizer.l2, optimizer.weight_decay) == (
        pytest.approx(1e-5),
        1e-5,
        0,
    )


def test_l2_is_added_to_the_gradient_as_adam_in_pytorch_does() -> None:
    settings = FitSettings(optimizer="adam", learning_rate=0.1, weight_decay=0.5, bits=2)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="hash_head")])
    model.head, model.method = model.layers[-1], model.layers[-1]
    from training.trainer.optimizer import new_optimizer

    optimizer = new_optimizer(settings, 1, model)
    variable = model.layers[-1].kernel
    variable.assign([[2.0]])
    optimizer.build([variable])
    weight, first, second = 2.0, 0.0, 0.0
    for step, gradient in enumerate((0.3, -4.0, 0.0), 1):
        optimizer.apply([np.float32([[gradient]])])
        total = gradient + 0.5 * weight
        first, second = 0.9 * first + 0.1 * total, 0.999 * second + 0.001 * total**2
        rate = 0.1 / (1 - 0.9**step)
        weight -= rate * first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        assert float(variable.numpy()[0, 0]) == pytest.approx(weight, rel=1e-5)


def test_settings_that_do_not_go_together_are_refused() -> None:
    for changes, rule in (
        ({"continuation_epochs": 20, "method": "dpsh"}, "must be 0 but for the method 'hashnet'"),
        ({"continuation_epochs": 20, "quantization": "native"}, "has a schedule of its own"),
        ({"remember_all": True, "method": "csq"}, "`remember_all` must be False: CSQ"),
        ({"remember_all": True, "memory_size": 5}, "leave one out"),
        ({"recipe": "hswd-2022", "frozen": True}, "The recipe 'hswd-2022' trains the network"),
    ):
        with pytest.raises(ValueError, match=rule):
            FitSettings(**changes)


def asked(*words: str) -> tuple[Recipe, Grid]:
    """What a comparison by these words of the command line is."""
    context = get_command(app).commands["compare"].make_context("compare", [*words])
    recipe, grid, _ = _settings(context, tune=False, fine_tune=False)
    return recipe, grid


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_comparison_trains_each_run_as_fit_does_by_that_recipe(name: str) -> None:
    recipe, grid = asked("--recipe", name, "--bits", "64", "--dataset", "digits")
    recipe.check_grid(grid)
    assert grid.columns == [("hashnet:alpha=0.1", "none"), ("hashnet:alpha=0.1", "hswd")]
    choice = recipe.default_choice(grid.columns[1])
    run = GridRun(*grid.columns[1], 64, choice.weight, choice.place, 3)
    of_fit = {"recipe": name, "dataset": "digits", "protocol": recipe.protocol, "bits": 64}
    expected = FitSettings.check({**of_fit, "seed": 3, "evaluate_every": 0})
    assert recipe.fit_settings(run) == expected.model_copy(update={"recipe": None, "k": recipe.k})


def test_a_comparison_by_a_recipe_refuses_what_the_recipe_does_not_suit() -> None:
    for words, rule in (
        (("--methods", "dpsh"), "`continuation_epochs` must be 0 but for the method 'hashnet'"),
        (("--quantizations", "native"), "'native' quantization has a schedule of its own"),
        (("--methods", "csq", "--continuation-epochs", "0"), "`remember_all` must be False: CSQ"),
    ):
        recipe, grid = asked("--recipe", "hswd-2022", *words)
        with pytest.raises(ValueError, match=rule):
            recipe.check_grid(grid)
    free = ("--methods", "csq", "--continuation-epochs", "0", "--no-remember-all")
    recipe, grid = asked("--recipe", "hswd-2022", *free, "--quantization-weight", "0.5")
    recipe.check_grid(grid)
    assert recipe.default_choice(("csq", "hswd")) == Choice(0.5, "raw")


@pytest.mark.slow
def test_a_short_comparison_by_the_recipe(tmp_path: Path) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    words += ["--recipe=hswd-2022", "--dataset=digits", "--protocol=per-class", "--seeds=0"]
    recipe, grid = asked(*words, "--epochs=2", "--learning-rate=1e-3")
    comparison = Comparison(recipe, grid, tmp_path / "output", tmp_path, verbose=0)
    found = {run: line["status"] for run, line in comparison.run().items()}
    assert {(run.quantization, run.weight): status for run, status in found.items()} == {
        ("none", 0.0): "done",
        ("hswd", 0.1): "done",
    }
    report = write_report(tmp_path / "output").read_text()
    assert "Adam 0.001 (backbone × 1), L2 1e-05" in report
    assert "against the codes of all training images, the scale of tanh grows" in report


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PUBLISHED)
def test_a_short_run_of_each(recipe: str, tmp_path: Path) -> None:
    settings = {"recipe": recipe, **SMALL, "epochs": 3, "learning_rate": 1e-3}
    metrics = fit(FitSettings.check(settings), tmp_path / "run", verbose=0)
    assert metrics["trained_on"] == 200
    assert metrics["map"] > 0.15  # chance is 0.1
