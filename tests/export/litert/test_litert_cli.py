"""`python -m export litert` and `verify`."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import app
from export.saved_model.export_saved_model import export_saved_model
from keras_hashing.device.device_encoder import DeviceEncoder
from keras_hashing.device.metadata import read_metadata
from keras_hashing.retrieval import CodeIndex
from training.runs.run_data import RunData
from training.runs.run_folder import Run, RunFolder


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_one_line_of_error(result: Any, message: str, exit_code: int = 1) -> None:
    assert result.exit_code == exit_code, result.output
    assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr), result.stderr
    assert result.stdout == ""


def test_the_files_of_a_run(
    fitted_folder: Path, fitted_run: Run, fitted_data: RunData, tmp_path: Path
) -> None:
    phone = tmp_path / "phone"
    options = ("--kind", "int8", "--kind", "float16", "--calibration-images", 40, "--continuous")
    result = call("litert", "--run", fitted_folder, "--output", phone, *options)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert sorted(path.name for path in phone.iterdir()) == [
        "encoder-float16.tflite",
        "encoder-int8.tflite",
    ]
    for path in phone.iterdir():
        assert f"{path.name}  {path.stat().st_size:,} bytes" in result.stdout
        assert read_metadata(path).continuous
    assert fitted_run.encoder.fingerprint in result.stdout
    assert read_metadata(phone / "encoder-int8.tflite").calibration_images == 40
    assert_one_line_of_error(
        call("tflite", "--run", fitted_folder, "--output", phone, "--kind", "int8"),
        "exist already: .*encoder-int8.tflite",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--calibration-images", 0), "needs representative images.*Received: 0"),
        (("--kind", "int4"), r"`kinds` \(--kind\) must be some of float32, .*Received: .'int4'."),
    ],
)
def test_bad_options_are_named(
    options: tuple, message: str, fitted_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "phone"
    result = call("litert", "--run", fitted_folder, "--output", output, *options)
    assert_one_line_of_error(result, message)
    assert not output.exists()


@pytest.mark.parametrize("command", [("litert", "--output"), ("verify", "--litert")])
def test_a_run_that_is_not_finished_is_refused(
    command: tuple, fitted_folder: Path, phone: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted_folder, run)
    (run / "metrics.json").unlink()
    folder = phone if command[0] == "verify" else tmp_path / "phone"
    result = call(command[0], "--run", run, command[1], folder)
    exit_code = 2 if command[0] == "verify" else 1
    assert_one_line_of_error(result, "The run is not finished", exit_code)


def test_data_that_has_changed_is_refused(fitted_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted_folder, run)
    folder = RunFolder(run)
    config = folder.read_json(folder.config)
    config["images"]["digest"] = "another"
    folder.write_json(folder.config, config)
    result = call("litert", "--run", run, "--output", tmp_path / "phone", "--kind", "int8")
    assert_one_line_of_error(result, "The data set has changed")


def test_verify_finds_the_figures_of_the_run(
    fitted_folder: Path, fitted_run: Run, fitted_data: RunData, phone: Path, tmp_path: Path
) -> None:
    """All queries: so the server's mAP is the one in the run's metrics.json."""
    export_saved_model(fitted_run.encoder, tmp_path / "model")
    json_file = tmp_path / "figures.json"
    result = call(
        *("verify", "--run", fitted_folder, "--litert", phone, "--model", tmp_path / "model"),
        *("--json", json_file, "--latency-rounds", 2, "--map-loss", 0.05),
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = json.loads(json_file.read_text())
    assert found["images"] == len(fitted_data.split.query)
    assert found["server_map"] == pytest.approx(fitted_run.metrics["map"], abs=1e-9)
    assert found["fingerprint"] == fitted_run.encoder.fingerprint
    assert found["broken"] == []
    assert found["limits"]["map_loss"] == 0.05
    served, float32, int8 = found["encoders"]
    assert [served["name"], float32["kind"], int8["kind"]] == ["SavedModel", "float32", "int8"]
    assert served["agreement"]["overall"] == 1
    assert served["map"] == pytest.approx(found["server_map"])
    assert float32["agreement"]["overall"] > 0.999
    assert float32["size_ratio"] == 1
    assert float32["latency_ratio"] == {"1": 1, "2": 1}

    encoder = DeviceEncoder(phone / "encoder-int8.tflite")
    pixels = fitted_data.dataset.images.pixels[fitted_data.split.query]
    bits = np.unpackbits(encoder.encode(pixels), axis=1)
    want = np.unpackbits(fitted_run.model.encode(pixels), axis=1)
    assert int8["agreement"]["overall"] == pytest.approx((bits == want).mean())
    assert int8["agreement"]["by_bit"] == pytest.approx((bits == want).mean(axis=0).tolist())
    assert int8["bytes"] == encoder.path.stat().st_size
    assert int8["map_loss"] == pytest.approx(found["server_map"] - int8["map"])
    assert int8["latency_ms"]["2"] > 0
    assert f"{int8['agreement']['overall']:.3%}" in result.stdout


def test_a_broken_limit_is_said_and_sets_the_exit_code(
    fitted_folder: Path, phone: Path, tmp_path: Path
) -> None:
    json_file = tmp_path / "figures.json"
    result = call(
        *("verify", "--run", fitted_folder, "--litert", phone, "--images", 20),
        *("--latency-rounds", 1, "--int8-size", 0.01, "--json", json_file),
    )
    assert result.exit_code == 1
    assert "encoder-int8.tflite: the file has" in result.stderr
    assert "more than 1.0%" in result.stderr
    assert "server's mAP" in result.stdout
    found = json.loads(json_file.read_text())
    assert found["images"] == 20
    assert any("more than 1.0%" in problem for problem in found["broken"])


def test_a_damaged_file_among_several_is_named(
    fitted_folder: Path, phone: Path, tmp_path: Path
) -> None:
    shutil.copy(phone / "encoder-float32.tflite", tmp_path)
    content = (phone / "encoder-int8.tflite").read_bytes()
    (tmp_path / "encoder-int8.tflite").write_bytes(content[: len(content) // 2])
    result = call("verify", "--run", fitted_folder, "--litert", tmp_path)
    assert_one_line_of_error(result, "encoder-int8.tflite' is damaged", exit_code=2)


@pytest.mark.parametrize(
    ("limit", "kinds", "missing"),
    [
        ("--int8-size", ["int8"], "files of int8 and float32 in --litert. Received: int8"),
        ("--int8-latency", ["int8"], "files of int8 and float32"),
        ("--float16-size", ["int8", "float32"], "files of float16 and float32"),
        ("--dynamic-range-bits", ["int8"], "files of dynamic-range"),
    ],
)
def test_a_limit_that_is_given_must_have_its_files(
    limit: str, kinds: list[str], missing: str, fitted_folder: Path, phone: Path, tmp_path: Path
) -> None:
    for kind in kinds:
        shutil.copy(phone / f"encoder-{kind}.tflite", tmp_path)
    result = call("verify", "--run", fitted_folder, "--litert", tmp_path, limit, 0.9)
    assert_one_line_of_error(result, f"{limit} cannot be measured without {missing}", exit_code=2)


def test_limits_by_default_need_no_files(fitted_folder: Path, phone: Path, tmp_path: Path) -> None:
    shutil.copy(phone / "encoder-int8.tflite", tmp_path)
    options = ("--images", 20, "--latency-rounds", 1, "--map-loss", 1, "--int8-bits", 0)
    result = call("verify", "--run", fitted_folder, "--litert", tmp_path, *options)
    assert result.exit_code == 0, result.output


def test_a_search_that_cannot_be_written_stops_the_encoders(
    fitted_folder: Path, fitted_run: Run, tmp_path: Path
) -> None:
    def refuses(output: Path, message: str, index: Path, *options: object) -> None:
        before = sorted(output.iterdir()) if output.exists() else []
        arguments = ("--output", output, "--kind", "float32", "--index", index, *options)
        result = call("litert", "--run", fitted_folder, *arguments)
        assert_one_line_of_error(result, message)
        assert (sorted(output.iterdir()) if output.exists() else []) == before

    phone = tmp_path / "phone"
    refuses(
        phone, "`k` must be 1 to the index's .* items. Received: 5000", fitted_folder, "--k", 5000
    )
    many = tmp_path / "many.npz"
    codes = np.zeros((100_001, 2), np.uint8)
    CodeIndex(codes, [str(i) for i in range(len(codes))], fitted_run.encoder.fingerprint).save(many)
    refuses(phone, "must have 1 to 100,000 items. Received: 100,001", many)
    other = tmp_path / "other.npz"
    CodeIndex(codes[:10], list("abcdefghij"), "another").save(other)
    refuses(phone, "Received: fingerprint=", other)
    phone.mkdir()
    (phone / "search.tflite").touch()
    refuses(phone, "exist already: .*search.tflite", fitted_folder)


def test_files_of_another_model_are_refused(
    fitted_folder: Path, grey_run: Run, files: Callable[[str], Path]
) -> None:
    result = call("verify", "--run", fitted_folder, "--litert", files("int8").parent)
    assert_one_line_of_error(
        result, f"do not mix: .*Received: fingerprint='{grey_run.encoder.fingerprint}'", exit_code=2
    )


def test_a_saved_model_of_another_run_is_refused(
    fitted_folder: Path, phone: Path, exports: dict[str, Path]
) -> None:
    options = ("--litert", phone, "--model", exports["grey"])
    result = call("verify", "--run", fitted_folder, *options)
    message = "do not mix: The SavedModel must be of the encoder's code space"
    assert_one_line_of_error(result, message, exit_code=2)


def test_a_database_of_other_images_is_refused(
    fitted_folder: Path, fitted_run: Run, phone: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted_folder, run)
    codes = np.zeros((3, 2), np.uint8)
    CodeIndex(codes, ["a", "b", "c"], fitted_run.encoder.fingerprint).save(run / "database.npz")
    result = call("verify", "--run", run, "--litert", phone)
    assert_one_line_of_error(result, "must be of the run's database. Received: 3 codes", 2)


def test_a_folder_without_files_and_one_for_json_that_is_missing(
    fitted_folder: Path, phone: Path, tmp_path: Path
) -> None:
    for litert, message in (
        (tmp_path, "There is no file encoder.*tflite in"),
        (tmp_path / "none", "There is no folder of .tflite files .*none'"),
        (phone / "encoder-int8.tflite", f"Received: the file .*; give its folder '{phone}'"),
    ):
        result = call("verify", "--run", fitted_folder, "--litert", litert)
        assert_one_line_of_error(result, message, exit_code=2)
    options = ("--litert", phone, "--json", tmp_path / "none" / "figures.json")
    result = call("verify", "--run", fitted_folder, *options)
    assert_one_line_of_error(result, "There is no folder for --json", exit_code=2)


def test_an_export_without_int8_needs_no_data(
    fitted_run: Run, monkeypatch: pytest.MonkeyPatch, fitted_folder: Path, tmp_path: Path
) -> None:
    def missing(*arguments: object) -> None:
        raise FileNotFoundError("the data is not there")

    monkeypatch.setattr(RunData, "load", missing)
    options = ("--output", tmp_path / "phone", "--kind")
    result = call("litert", "--run", fitted_folder, *options, "float32")
    assert result.exit_code == 0, result.output
    result = call("litert", "--run", fitted_folder, *options, "int8")
    assert_one_line_of_error(result, "the data is not there")
