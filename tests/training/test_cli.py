"""The command line as a user meets it."""

import json
import re
import warnings
from pathlib import Path

import pytest
import tensorflow as tf
from typer.testing import CliRunner

from keras_hashing.files.image_verdict import NO_IMAGE
from training.cli import app

RUNNER = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})
QUICK = ["--epochs", "1", "--bits", "16", "--train-per-class", "20", "--batch-size", "100"]


def call(*arguments: str | Path, code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    call("fit", "--output", folder, *QUICK)
    return folder


def test_help_names_every_command_and_shows_an_example() -> None:
    assert all(name in call("--help") for name in ("fit", "evaluate", "images"))
    for name in ("fit", "evaluate", "images"):
        assert f"python -m training {name}" in call(name, "--help")


def test_fit_prints_the_figures_and_the_time_of_each_stage(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # as `python -W error::…` does
        result = RUNNER.invoke(
            app, ["fit", "--output", str(tmp_path / "run"), *QUICK, "--k", "100"]
        )
    assert result.exit_code == 0, result.output
    for text in (
        "mAP (higher is better)",
        "mAP@100",
        "per-class (train_per_class=20)",
        "bit balance",
    ):
        assert text in result.stdout
    for name in ("Reading images", "Building the network", "Compiling", "Saving", "Encoding"):
        assert re.search(rf"^{name}.*: \d+\.\d s$", result.stderr, re.MULTILINE), result.stderr
    assert (tmp_path / "run" / "metrics.json").exists()
    (line,) = re.findall(r"^\d+/\d+ - .*", result.stdout, re.MULTILINE)
    shown = re.findall(r"(\w+): ", line)
    assert shown[:3] == ["loss", "quantization_loss", "similarity_loss"]
    assert {"bit_balance", "bit_correlation"} < set(shown[3:])


def test_evaluate_measures_the_same_and_other_cuts(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    again = json.loads(call("evaluate", "--run", run, "--json", "--k", "10", "--no-report"))
    assert again["map"] == metrics["map"]
    assert again["fingerprint"] == metrics["fingerprint"]
    assert again["k"] == 10
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    printed = call("evaluate", "--run", run, "--k", "10")
    assert "mAP@10" in printed
    assert f"Report: {run / 'report.html'}" in printed
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert set(after) - set(before) == {run / "report.html"}
    assert before.items() <= after.items()
    report = (run / "report.html").read_text()
    assert report.count('class="query"') >= 10  # a digit each
    assert report.count("<figure>") == 5


def test_images_writes_readable_files_of_the_split(run: Path, tmp_path: Path) -> None:
    printed = call("images", "--run", run, "--output", tmp_path, "--count", "3").split()
    assert sorted(printed) == sorted(str(path) for path in tmp_path.iterdir())
    assert len(printed) == 3
    for path in printed:
        assert tf.io.decode_image(tf.io.read_file(path)).shape == (8, 8, 1)


def test_resume_keeps_settings_and_refuses_others(run: Path) -> None:
    assert "mAP" in call("fit", "--resume", "--output", run, "--bits", "16")
    output = call("fit", "--resume", "--output", run, "--bits", "32", code=1)
    assert "`bits` is 16. Received: 32" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "--output", "NEW", *QUICK, "--k", "5000"], "size of the database"),
        (["evaluate", "--run", "RUN", "--k", "5000"], "k"),
    ],
)
def test_errors_are_one_message_without_a_traceback(
    arguments: list[str], message: str, run: Path, tmp_path: Path
) -> None:
    places = {"RUN": str(run), "NEW": str(tmp_path / "new")}
    output = call(*(places.get(argument, argument) for argument in arguments), code=1)
    assert output.splitlines()[-1].startswith("Error: ")
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "new").exists()


def test_a_runs_config_gives_the_same_run(run: Path, tmp_path: Path) -> None:
    call("fit", "--config", run / "config.json", "--output", tmp_path / "again")
    first, again = (
        json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "again")
    )
    assert first["fingerprint"] == again["fingerprint"]


def test_unknown_choices_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    output = call("fit", "--output", tmp_path / "x", "--quantize", "sign", code=2)
    assert "raw" in output
    assert "relaxed" in output


def test_a_folder_of_images_trains(folder_with_notes: Path, tmp_path: Path) -> None:
    arguments = [
        "fit", "--dataset", "folder", "--data-dir", folder_with_notes, "--height", "16",
        "--width", "16", "--epochs", "2", "--bits", "8", "--batch-size", "20",
        "--query-per-class", "5", "--output", tmp_path / "run",
    ]  # fmt: skip
    assert "notes.png" in call(*arguments, code=1)
    assert not (tmp_path / "run").exists()
    with pytest.warns(UserWarning, match="left out") as told:
        call(*arguments, "--on-bad-image", "skip")
    first, second = (str(one.message) for one in told if "left out" in str(one.message))
    assert first.startswith("1 of 81 files")
    assert second == f"The files left out are listed in {tmp_path / 'run' / 'skipped.txt'}"
    (line,) = (tmp_path / "run" / "skipped.txt").read_text().splitlines()
    assert line == f"dark/notes.png\t{NO_IMAGE}"
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [Path(name).name for name in config["images"]["skipped"]] == ["notes.png"]
    assert config["class_names"] == ["dark", "light"]
    # The data may move, but not change: another split would query with images trained on.
    folder_with_notes.rename(tmp_path / "moved")
    moved = ["evaluate", "--run", tmp_path / "run", "--data-dir", tmp_path / "moved"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # they were told of
        assert "mAP" in call(*moved)
    extra = tmp_path / "moved" / "dark" / "0.png"
    (tmp_path / "moved" / "dark" / "extra.png").write_bytes(extra.read_bytes())
    assert "data set has changed" in call(*moved, code=1)
