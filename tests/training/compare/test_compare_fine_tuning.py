"""A comparison that fine-tunes, on scikit-learn's digits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_hashing.callbacks import ScaleContinuation
from training.callbacks.history_log import read_history
from training.cli import app
from training.compare.comparison import Comparison, default_workers
from training.compare.comparison_folder import run_folder
from training.compare.comparison_report.commands import commands_of
from training.compare.comparison_report.report import write_report
from training.compare.comparison_report.results import ComparisonResults
from training.compare.grid import Grid
from training.compare.grid_run import GridRun
from training.compare.recipe import FineTuning, Recipe, digest_of
from training.compare.workers import fine_tuner
from training.compare.workers.digest_of_code import digest_of_code
from training.compare.workers.fine_tuner import FineTuner, fit_settings
from training.compare.workers.image_data import ImageData
from training.data import load_dataset
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer import fit as fitting
from training.trainer import trainer as training
from training.trainer.trainer import Trainer

pytestmark = pytest.mark.slow  # every test needs networks trained whole

GRID = Grid(methods=("hashnet",), quantizations=("native", "hswd"), bits=(16,), seeds=(1,))
NATIVE = GridRun("hashnet", "native", 16, 1.0, "schedule", 1)
HSWD = GridRun("hashnet", "hswd", 16, 0.3, "raw", 1)
OPTIONS = {"backbone_rate": 0.5, "weight_decay": 1e-3, "average_weights": 0.5, "shift": 1}
SHARED = {
    "dataset": "digits",
    "protocol": "per-class",
    "train_per_class": 30,
    "hidden": 16,
    "dropout": 0.1,
    "epochs": 2,
    "batch_size": 100,
    "learning_rate": 3e-3,
    "k": 100,
}
RECIPE = Recipe(**SHARED, backbone="small-cnn", fine_tuning=FineTuning(**OPTIONS))


def compare(output: Path, recipe: Recipe = RECIPE) -> Comparison:
    return Comparison(recipe, GRID, output, output.parent / "features", verbose=0)


class InterruptionError(Exception):
    pass


class InterruptSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise InterruptionError


def interrupt(output: Path, run: GridRun) -> float:
    """Trains the first epoch of a run and stops in the second; gives the seconds of the first."""
    original = Trainer.callbacks
    tuner = FineTuner(
        ImageData.read(output / "work"), output / "runs", digest_of_code("fine-tuned")
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            Trainer,
            "callbacks",
            lambda self, *args: [*original(self, *args), InterruptSecondEpoch()],
        )
        with pytest.raises(InterruptionError):
            tuner.train(run)
    (epoch,) = read_history(run_folder(output / "runs", run) / "history.jsonl")
    return epoch["seconds"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A finished comparison, whose second run was interrupted, and the seconds of its epoch."""
    output = tmp_path_factory.mktemp("compare") / "output"
    comparison = compare(output)
    seconds = interrupt(output, HSWD)
    comparison.run()
    return output, seconds


@pytest.fixture
def finished(interrupted: tuple[Path, float], tmp_path: Path) -> Path:
    """A copy of the finished comparison."""
    return shutil.copytree(interrupted[0], tmp_path / "output")


def lines(output: Path) -> dict[GridRun, dict]:
    read = [json.loads(text) for text in (output / "results.jsonl").read_text().splitlines()]
    return {GridRun.of(line): line for line in read}


def test_each_run_gives_what_fit_gives_and_leaves_its_result_only(
    finished: Path, tmp_path: Path
) -> None:
    found = lines(finished)
    assert set(found) == {NATIVE, HSWD}
    assert all(line["status"] == "done" for line in found.values()), found
    for run, quantization in ((NATIVE, "native"), (HSWD, "hswd")):
        settings = FitSettings(
            **SHARED, **OPTIONS, backbone="small-cnn", bits=16, quantization=quantization, seed=1
        )
        expected = fitting.fit(settings, tmp_path / quantization, verbose=0)
        for name in ("map", "map_at_k", "precision_within_radius", "quantization_error"):
            assert found[run][name] == expected[name], (run, name)
        with np.load(finished / "arrays" / f"{run.file_name}.npz") as arrays:
            curve = expected["precision_recall_curve"]
            np.testing.assert_allclose(arrays["precision"], curve["precision"], rtol=1e-6)
            assert arrays["histogram"].sum() == 16 * found[run]["database"]
    assert list((finished / "runs").iterdir()) == []


def test_the_report_says_that_and_how_runs_were_fine_tuned(finished: Path) -> None:
    text = write_report(finished).with_name("report.md").read_text()
    assert "- backbone: small-cnn on 8×8×1, fine-tuned whole with each run" in text
    assert "AdamW 0.003 (backbone × 0.5), warm-up and cosine decay, weight decay 0.001" in text
    assert "momentum 0.5; 2 epochs" in text
    assert "- augmentation: shift up to 1 pixels" in text
    assert "frozen" not in text
    (command,) = commands_of(ComparisonResults.read(finished))  # nothing was tuned
    for option in ("--fine-tune", "--backbone-rate 0.5", "--weight-decay 0.001", "--shift 1"):
        assert f"{option} " in command


def test_an_interrupted_run_goes_on_from_its_last_epoch(interrupted: tuple[Path, float]) -> None:
    output, seconds = interrupted
    # Trained again, the first epoch would have taken another time; that the result is the one of
    # an uninterrupted run, the comparison with `fit` says.
    assert lines(output)[HSWD]["seconds"]["first_epoch"] == seconds


def test_finished_runs_are_kept_and_what_is_left_of_them_is_cleared_away(finished: Path) -> None:
    before = (finished / "results.jsonl").read_bytes()
    left = run_folder(finished / "runs", NATIVE) / "checkpoints"
    left.mkdir(parents=True)
    assert compare(finished).run() == lines(finished)
    assert (finished / "results.jsonl").read_bytes() == before
    assert list((finished / "runs").iterdir()) == []


def test_a_run_that_other_code_began_is_begun_anew(tmp_path: Path) -> None:
    data = ImageData(load_dataset("digits"), RECIPE).of(HSWD)
    folder = RunFolder(tmp_path / "run")
    settings = fit_settings(HSWD, RECIPE, data.split)
    for code, kept in (("a", False), ("a", True), ("b", False)):
        fitting.begin_or_resume(settings, data, folder, code)
        assert (folder.path / "mark").exists() == kept
        (folder.path / "mark").touch()


def test_tuning_sees_training_images_only_and_the_schedule_grows_as_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[np.ndarray]] = {"training_batches": [], "evaluation_batches": []}

    def spy(name: str) -> None:
        original = getattr(training, name)

        def spied(dataset: object, positions: np.ndarray, *args: object, **options: object):
            seen[name].append(positions)
            return original(dataset, positions, *args, **options)

        monkeypatch.setattr(training, name, spied)

    for name in seen:
        spy(name)
    trainings = []
    begin = fine_tuner.begin_or_resume
    monkeypatch.setattr(
        fine_tuner, "begin_or_resume", lambda *args: trainings.append(begin(*args)) or trainings[0]
    )
    # β changes with each step, not each 200.
    monkeypatch.setattr(ScaleContinuation.__init__, "__defaults__", (None, 0.005, 0.5, 1))

    data = ImageData(load_dataset("digits"), RECIPE)
    run = GridRun("hashnet", "native", 32, 3.0, "schedule", 1, "tuning")
    figures, _ = FineTuner(data, tmp_path, "code").train(run)

    of_the_test = data.of(GridRun("hashnet", "native", 32, 3.0, "schedule", 1)).split
    (train,), (query, database) = seen["training_batches"], seen["evaluation_batches"]
    together = np.concatenate([train, query, database])
    np.testing.assert_array_equal(np.sort(together), of_the_test.train)
    assert (len(train), len(query), len(database)) == (240, 30, 30)
    assert (figures["train"], figures["queries"], figures["k"]) == (240, 30, 30)
    steps = 2 * 3  # two epochs of three batches
    method = trainings[0].model.method
    beta = method.initial_beta * (1 + 3 * 0.005 * steps) ** 0.5
    assert float(method.beta.numpy()) == pytest.approx(beta)


def test_only_a_schedule_is_a_callback() -> None:
    assert HSWD.schedules == []
    (published,), (faster,) = (
        GridRun("hashnet", "native", 16, speed, "schedule", 0).schedules for speed in (1.0, 4.0)
    )
    for schedule in (published, faster):
        schedule.set_model(SimpleNamespace(method=SimpleNamespace(initial_beta=1.0)))
    steps = range(0, 1000, 7)  # a run that is shorter than a published step of 200 is not flat
    assert [faster.beta_at(step) for step in steps] == pytest.approx(
        [published.beta_at(4 * step) for step in steps]
    )


def test_a_worker_ends_in_the_middle_of_a_run_when_its_comparison_is_gone() -> None:
    program = (
        "from training.compare.workers.worker import _runs_asked_for\n"
        "import time\n"
        "next(_runs_asked_for())\n"
        "print('training', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdin.write(json.dumps(HSWD.to_json()) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "training\n"
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_frozen_settings_have_the_digest_from_before_there_was_fine_tuning() -> None:
    assert digest_of({"recipe": Recipe().model_dump(mode="json")}) == "ead74cb5dd99d289"
    plain, flipped = (Recipe(fine_tuning=FineTuning(flip=flip)) for flip in (False, True))
    digests = {digest_of(one.model_dump(mode="json")) for one in (Recipe(), plain, flipped)}
    assert len(digests) == 3
    assert Recipe(**flipped.model_dump(mode="json")) == flipped


def test_frozen_and_fine_tuned_results_do_not_mix(finished: Path) -> None:
    frozen = Recipe(**{**RECIPE.model_dump(), "fine_tuning": None})
    with pytest.raises(ValueError, match="`fine_tune` was True. Received: False; choose another"):
        compare(finished, frozen)


def test_one_process_fine_tunes_unless_more_are_asked_for() -> None:
    assert default_workers(RECIPE) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crop", "0.5"], "`crop` is an option of fine-tuning: add --fine-tune. Received: 0.5"),
        (["--flip"], "`flip` is an option of fine-tuning: add --fine-tune. Received: True"),
        (["--backbone-rate", "1"], "`backbone_rate` is an option of fine-tuning"),
        (["--fine-tune", "--crop", "2"], "`crop`: Input should be less than or equal to 1"),
        (["--fine-tune", "--features-only"], "`features_only` is about the features of a frozen"),
        (["--fine-tune", "--features-dir", "x"], "`features_dir` is about .* Received: 'x'"),
        (["--fine-tune", "--shift", "8"], "`shift` must be smaller than the images"),
        (["--fine-tune", "--train-from", "x"], "`train_from` must name a stage .* with weights"),
        (
            ["--fine-tune", "--train-from", "stage1", "--flip"],
            "`train_from` computes the features of each image once",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], message: str, tmp_path: Path
) -> None:
    data = ["--dataset", "digits", "--protocol", "per-class", "--backbone", "small-cnn"]
    runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})
    result = runner.invoke(
        app, ["compare", "--output", str(tmp_path / "new"), *data, "--bits", "16", *options]
    )
    assert result.exit_code == 1, result.output
    text = " ".join(result.output.split())
    assert all(part in text for part in message.split(" .* ")), text
