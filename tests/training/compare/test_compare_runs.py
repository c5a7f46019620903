"""Runs in worker processes, and the command line."""

import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_hashing import methods
from training.cli import app
from training.compare.comparison import Comparison
from training.compare.comparison_report.commands import fit_command
from training.compare.comparison_report.results import ComparisonResults
from training.compare.grid import Grid
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.compare.results_file import ResultsFile
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.host_sorted_swd import target_of_each
from training.compare.workers.image_data import ImageData
from training.compare.workers.pool import run_all
from training.data import load_dataset
from training.settings import DataSettings

RUNNER = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})
GRID = Grid(methods=("hashnet",), quantizations=("none", "native"), bits=(16,), seeds=(0, 1))
RECIPE = Recipe(
    dataset="digits",
    protocol="per-class",
    backbone="small-cnn",
    train_per_class=30,
    hidden=16,
    epochs=2,
    k=100,
)


def lines(folder: Path) -> dict[GridRun, dict]:
    read = [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]
    return {GridRun.of(line): line for line in read}


def without_seconds(line: dict) -> dict:
    return {name: value for name, value in line.items() if name != "seconds"}


@pytest.mark.slow
def test_an_interrupted_grid_goes_on_and_the_same_seed_gives_the_same_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "compare"

    def compare() -> dict[GridRun, dict]:
        return Comparison(RECIPE, GRID, output, tmp_path / "features", workers=2).run()

    whole = compare()
    assert len(whole) == 4
    assert all(line["status"] == "done" for line in whole.values()), whole
    assert {(line["queries"], line["train"]) for line in whole.values()} == {(200, 300)}
    assert "Grid 4/4" in capsys.readouterr().err

    # Half of the last line, and nothing of the one before it.
    text = (output / "results.jsonl").read_text().splitlines(keepends=True)
    (output / "results.jsonl").write_text("".join(text[:-2]) + text[-1][:50])
    again = compare()
    told = capsys.readouterr().err
    assert "Grid: 2 of 4 runs are finished already" in told
    assert "Grid 3/4" in told
    assert "Grid 2/4" not in told
    assert {run: without_seconds(line) for run, line in again.items()} == {
        run: without_seconds(line) for run, line in whole.items()
    }
    assert lines(output) == again

    comparison = Comparison(RECIPE, GRID, output, tmp_path / "features")
    tried = ResultsFile(output / "tuning.jsonl", comparison.digest)
    tried.append(GridRun("dpsh", "hswd", 32, 3.0, "raw", 0, "tuning"), {"status": "done"})
    with pytest.raises(ValueError, match="`tune_weights` must be those that were tried .*: 3. Rec"):
        comparison.tune()

    other = Recipe(**{**RECIPE.model_dump(), "epochs": 3})
    with pytest.raises(ValueError, match="`epochs` was 2. Received: 3"):
        Comparison(other, GRID, output, tmp_path / "features")


def test_a_worker_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    group = [GridRun("dpsh", "none", 16, 0.0, "", 0)]
    with pytest.raises(ChildProcessError, match=r"ended with code 1(.|\n)*data.json"):
        run_all([group], tmp_path, tmp_path, 1, lambda run, result: None)


def test_data_for_the_workers_is_read_back_as_written(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float16)
    np.save(tmp_path / "features.npy", features)
    labels = np.eye(2, dtype=np.uint8)[np.arange(40) % 2]
    from training.data.split import Split

    split = Split(np.arange(10), np.arange(10, 30), np.arange(10, 40))
    data = FrozenData(features, labels, {5: split}, Recipe(epochs=3))
    data.write(tmp_path, tmp_path / "features.npy")
    read = FrozenData.read(tmp_path)
    np.testing.assert_array_equal(read.features, features)
    np.testing.assert_array_equal(read.labels, labels)
    np.testing.assert_array_equal(read.splits[5].database, split.database)
    assert read.recipe == Recipe(epochs=3)
    mean, deviation = read.scale(split.train)
    scaled = (features[split.train].astype(np.float64) - mean) / deviation
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)


def test_each_projection_gets_the_target_of_its_rank() -> None:
    random = np.random.default_rng(0)
    projected, targets = random.normal(size=(2, 9, 4))
    assigned = target_of_each(projected, targets)
    for column in range(4):
        order = np.argsort(projected[:, column])
        np.testing.assert_array_equal(assigned[order, column], np.sort(targets[:, column]))


def test_on_jax_swd_is_that_of_the_library_and_no_hidden_layer_is_needed() -> None:
    program = """
import jax, numpy as np
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.frozen_trainer import Trainer
from training.data.split import Split
from keras_hashing.losses import SlicedWasserstein
from training.compare.workers.host_sorted_swd import HostSortedSWD
codes = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
one, other = SlicedWasserstein(), HostSortedSWD()
for loss in (one, other):
    loss.both = jax.jit(jax.value_and_grad(lambda u, loss=loss: loss(u, u)))(codes)
np.testing.assert_allclose(one.both[0], other.both[0], rtol=1e-6)
np.testing.assert_allclose(one.both[1], other.both[1], atol=1e-7)

labels = np.eye(2, dtype="uint8")[np.arange(40) % 2]
features = (labels @ [[3, 0, 1], [0, 3, 1]] + np.random.default_rng(0).normal(size=(40, 3)))
split = Split(np.arange(10), np.arange(10, 40), np.arange(10, 40))
recipe = Recipe(hidden=0, epochs=9, batch_size=10, learning_rate=0.1, k=5)
data = FrozenData(features.astype("float16"), labels, {0: split}, recipe)
run = GridRun("dpsh", "none", 16, 0.0, "", 0)
trainer = Trainer(run, data)
assert trainer.train(run)[0]["map"] > 0.9
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_vectors_are_compared_with_baselines_without_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    centres = random.normal(size=(3, 12))
    vectors = (centres[labels] + 0.3 * random.normal(size=(120, 12))).astype(np.float32)
    np.savez(tmp_path / "v.npz", vectors=vectors, labels=np.array(["a", "b", "c"])[labels])
    output = tmp_path / "compare"
    options = ["--dataset", "vectors", "--data-dir", tmp_path / "v.npz", "--query-share", "0.2"]
    options += ["--methods", "itq,lsh,ntxent,csq", "--quantizations", "hswd", "--bits", "8"]
    options += ["--seeds", "0", "--hidden", "16", "--epochs", "3", "--batch-size", "32", "--k", "5"]
    options += ["--features-dir", tmp_path / "features", "--output", output, "--workers", "1"]
    result = RUNNER.invoke(app, ["compare", *map(str, options)])
    assert result.exit_code == 0, result.output
    found = {run.method: (run.quantization, line) for run, line in lines(output).items()}
    assert {name: one[0] for name, one in found.items()} == {
        "itq": "none",
        "lsh": "none",
        "ntxent": "hswd",
        "csq": "hswd",
    }
    for _, line in found.values():
        assert line["status"] == "done", line
        assert line["map"] > 0.5  # chance is 1/3
        assert line["neighbour_recall_at_10"] > 0.15  # chance is 10/96
    assert found["itq"][1]["loss"] == 0
    assert found["ntxent"][1]["similarity_loss"] > 0
    page = (output / "report" / "report.html").read_text()
    assert "the vectors, scaled to length 1; 12" in page
    # What the page says is what `fit` makes of the head in closed form.
    comparison = ComparisonResults.read(output)
    command = fit_command(comparison, ("itq", "none", 8))
    assert command is not None
    fitted = RUNNER.invoke(app, [*shlex.split(command)[3:-1], str(tmp_path / "run")])
    assert fitted.exit_code == 0, fitted.output
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["map"] == pytest.approx(found["itq"][1]["map"], abs=0.02)


def refused(*arguments: str | Path) -> str:
    result = RUNNER.invoke(app, ["compare", *map(str, arguments)])
    assert result.exit_code == 1, result.output
    return result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "dpsch"], "`methods` must be among csq, dch, dhn"),
        (["--quantizations", "hwsd"], "`quantizations` must be among none, native, sign"),
        (["--bits", "0"], "`bits` must be a positive integer"),
        (["--bits", "sixteen"], "`bits.0`: Input should be a valid integer"),
        (["--seeds", "0,0"], "`seeds` must not repeat"),
        (["--epochs", "0"], "`epochs`: Input should be greater than or equal to 1"),
        (["--dataset", "digits", "--batch-size", "5000"], "at least one batch"),
        (["--fine-tune", "--methods", "pca"], "are not fine-tuned: leave out 'pca'"),
        (["--fine-tune", "--methods", "ntxent"], "'ntxent' compare two views of each image"),
        (["--methods", "ntxent", "--dropout", "0"], "`dropout` must be above 0"),
    ],
)
def test_a_mistake_is_one_message(options: list[str], message: str, tmp_path: Path) -> None:
    rest = ["--protocol", "per-class", "--backbone", "small-cnn"] if "digits" in options else []
    output = refused("--output", tmp_path / "new", *options, *rest)
    assert message in " ".join(output.split())


def test_a_file_that_is_no_image_is_named_or_left_out(
    folder_with_notes: Path, tmp_path: Path
) -> None:
    common = [
        *(
            "--dataset",
            "folder",
            "--data-dir",
            folder_with_notes,
            "--height",
            "16",
            "--width",
            "16",
        ),
        *("--protocol", "per-class", "--query-per-class", "5", "--backbone", "small-cnn"),
        *("--batch-size", "20", "--output", tmp_path / "new"),
        *("--features-only", "--features-dir", tmp_path / "features"),
    ]
    output = refused(*common)
    assert "notes.png" in output
    assert "--on-bad-image skip" in " ".join(output.split())
    with pytest.warns(UserWarning, match=r"1 of 81 files .* are left out"):
        result = RUNNER.invoke(app, ["compare", *map(str, common), "--on-bad-image", "skip"])
    assert result.exit_code == 0, result.output
    assert len(FrozenData.read(tmp_path / "new" / "work").labels) == 80
    (name,) = json.loads((tmp_path / "new" / "settings.json").read_text())["data"]["skipped"]
    assert (tmp_path / "new" / "skipped.txt").read_text().startswith(f"{name}\tis no image")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a comparison that is resumed tells of them no more
        result = RUNNER.invoke(app, ["compare", *map(str, common), "--on-bad-image", "skip"])
    assert result.exit_code == 0, result.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 of 81 files")
def test_the_commands_of_a_report_run_as_printed(
    folder_with_notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with_notes.rename(tmp_path / "my images")
    monkeypatch.chdir(tmp_path)
    size = ("--height", "12", "--width", "12", "--batch-size", "20", "--epochs", "1", "--k", "10")
    done = RUNNER.invoke(
        app,
        [
            *("compare", "--dataset", "folder", "--data-dir", "my images", "--output", "compare"),
            *("--on-bad-image", "skip", "--features-dir", "my features", "--backbone", "small-cnn"),
            *("--protocol", "per-class", "--query-per-class", "5", *size),
            *("--methods", "dsdh:eta=3", "--quantizations", "hswd", "--bits", "16"),
            *("--seeds", "2,0", "--workers", "2"),
        ],
    )
    assert done.exit_code == 0, done.output
    first = lines(tmp_path / "compare")
    report = (tmp_path / "compare" / "report" / "report.md").read_text()
    fit, compare = re.findall(r"^    (python .*)$", report, re.MULTILINE)
    (tmp_path / "compare").rename(tmp_path / "before")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    for command in (compare, fit):
        subprocess.run(command, shell=True, check=True, env=environment, capture_output=True)
    assert {run: without_seconds(line) for run, line in lines(tmp_path / "compare").items()} == {
        run: without_seconds(line) for run, line in first.items()
    }
    assert (tmp_path / "my features").is_dir()
    config = json.loads((tmp_path / "runs" / "chosen" / "config.json").read_text())["settings"]
    assert (config["method"], config["quantization"], config["bits"]) == ("dsdh:eta=3", "hswd", 16)
    assert (
        "What dsdh:eta=3 with hswd finds"
        in (tmp_path / "compare" / "report" / "report.html").read_text()
    )


def test_workers_that_fine_tune_leave_out_the_same_files(
    folder_with_notes: Path, tmp_path: Path
) -> None:
    recipe = Recipe(dataset="folder", protocol="per-class")
    with pytest.warns(UserWarning, match=r"1 of 81 files .* are left out"):
        dataset = load_dataset("folder", str(folder_with_notes), on_bad_image="skip")
    place = DataSettings(dataset="folder", data_dir=str(folder_with_notes), on_bad_image="skip")
    ImageData.write(tmp_path, recipe, dataset.digest, place)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they were told of before
        assert ImageData.read(tmp_path).dataset.ids == dataset.ids
    (folder_with_notes / "dark" / "0.png").write_text("no image any more")
    with pytest.raises(ValueError, match="has changed since the comparison began.* 79 images"):
        ImageData.read(tmp_path)


def test_output_must_be_given_and_be_a_folder(tmp_path: Path) -> None:
    assert "--output must be given" in refused()
    (tmp_path / "file").write_text("")
    small = "--dataset", "digits", "--backbone", "small-cnn"
    assert "file" in refused("--output", tmp_path / "file", *small)
    assert "Not the folder of a comparison" in refused("report", "--output", tmp_path)


def test_a_grid_of_columns_that_do_not_exist_is_refused_with_the_reason(tmp_path: Path) -> None:
    output = refused(
        *("--dataset", "digits", "--protocol", "per-class", "--backbone", "small-cnn"),
        *("--features-dir", tmp_path / "features", "--output", tmp_path / "new"),
        *("--methods", "orthohash", "--quantizations", "native"),
    )
    assert "Nothing of the grid can be run. orthohash native: the method's paper" in " ".join(
        output.split()
    )


def test_help_tells_how_a_comparison_goes_on() -> None:
    text = " ".join(RUNNER.invoke(app, ["compare", "--help"]).output.split())
    assert "Repeat the command to resume an interrupted comparison" in text


def test_help_names_every_method_and_the_report(capsys: pytest.CaptureFixture) -> None:
    text: Callable[..., str] = lambda *words: RUNNER.invoke(app, [*words, "--help"]).output  # noqa: E731
    assert all(name in text("compare") for name in methods.available())
    assert "report" in text("compare")
    assert "python -m training compare report" in text("compare", "report")
