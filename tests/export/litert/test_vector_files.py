"""Encoders of vectors in .tflite files: the codes of the Keras model, on LiteRT's interpreter."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import app
from export.litert.export_litert import export_litert
from keras_hashing.device import DeviceEncoder, read_metadata
from keras_hashing.device.kinds import KINDS
from keras_hashing.encoder import HashEncoder
from training.settings import FitSettings
from training.trainer.fit import fit


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(vector_encoder: HashEncoder, vectors: np.ndarray, tmp_path_factory) -> Path:
    """`model.keras`, `v.npy`, and all kinds of files in `phone`, with continuous codes."""
    folder = tmp_path_factory.mktemp("texts")
    vector_encoder.model.save(folder / "model.keras")
    np.save(folder / "v.npy", vectors)
    call("litert", "--model", folder / "model.keras", "--vectors", folder / "v.npy",
         "--continuous", "--free-batch", "--output", folder / "phone")  # fmt: skip
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_keras(
    kind: str, folder: Path, vector_encoder: HashEncoder, vectors: np.ndarray
) -> None:
    device = DeviceEncoder(folder / "phone" / f"encoder-{kind}.tflite")
    codes, want = device.encode(vectors), vector_encoder.encode(vectors)
    equal = 1 - np.bitwise_count(codes ^ want).sum() / (12 * len(vectors))
    assert equal == 1 if kind == "float32" else equal > 0.95
    np.testing.assert_allclose(
        device.continuous(vectors),
        vector_encoder.continuous(vectors),
        atol=1e-5 if kind == "float32" else 0.1,
    )
    assert device.encode(vectors[:0]).shape == (0, 2)
    assert device.metadata.vector_width == 5
    assert device.metadata.height is None
    assert device.metadata.calibration_images == (40 if kind == "int8" else None)
    assert device.metadata.fingerprint == vector_encoder.fingerprint


def test_other_vectors_are_refused(
    folder: Path, vector_encoder: HashEncoder, vectors: np.ndarray, tmp_path: Path
) -> None:
    device = DeviceEncoder(folder / "phone" / "encoder-float32.tflite")
    with pytest.raises(ValueError, match=r"must have shape \[n, 5\]. Received: shape=\(5,\)"):
        device.encode(vectors[0])
    with pytest.raises(ValueError, match="must be finite.*in row 1"):
        device.encode(np.array([[1.0] * 5, [np.inf] * 5]))
    with pytest.raises(ValueError, match="file that takes images. Received: one of vectors"):
        _ = device.metadata.image_shape
    with pytest.raises(ValueError, match=r"must be float32 \[n, 5\]. Received: float32 \[40, 4\]"):
        export_litert(vector_encoder, tmp_path, ["int8"], calibration=vectors[:, :4])
    with pytest.raises(ValueError, match="needs representative vectors.*Received: none"):
        export_litert(vector_encoder, tmp_path, ["int8"])


def test_one_vector_at_a_time_gives_the_same(
    vector_encoder: HashEncoder, vectors: np.ndarray, tmp_path: Path
) -> None:
    (path,) = export_litert(vector_encoder, tmp_path, ["float32"])
    np.testing.assert_array_equal(
        DeviceEncoder(path).encode(vectors), vector_encoder.encode(vectors)
    )
    assert not read_metadata(path).continuous


def test_files_and_saved_model_are_verified(folder: Path, tmp_path: Path) -> None:
    model = ("--model", folder / "model.keras")
    call("saved-model", *model, "--output", tmp_path / "served")
    files = ("--litert", folder / "phone", "--saved-model", tmp_path / "served")
    figures = ("--json", tmp_path / "figures.json", "--latency-rounds", 2, "--int8-size", 2,
               "--float16-size", 2)  # fmt: skip
    printed = call("verify", *model, *files, "--vectors", folder / "v.npy", *figures)
    assert "vectors" in printed
    report = json.loads((tmp_path / "figures.json").read_text())
    assert (report["images"], report["broken"]) == (40, [])
    served, float32 = report["encoders"][:2]
    assert served["agreement"]["overall"] == float32["agreement"]["overall"] == 1
    given = [str(one) for one in ("verify", *model, *files, "--vectors", folder / "w.npy")]
    np.save(folder / "w.npy", np.ones((3, 4)))
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert "must take vectors of width 4. Received: a model of vectors of width 5" in result.stderr
    result = CliRunner().invoke(app, [*given[:-2], "--image-folder", str(folder)])
    assert "must take images. Received: a model of vectors of width 5" in result.stderr


def test_a_run_brings_its_own_vectors(vectors: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=vectors, labels=["cat", "dog"] * 20)
    settings = {"dataset": "vectors", "data_dir": str(tmp_path / "v.npz"), "bits": 12, "epochs": 1}
    fit(FitSettings.check({**settings, "query_share": 0.5}), tmp_path / "run", verbose=0)
    run = ("--run", tmp_path / "run")
    call("litert", *run, "--kind", "float32", "--kind", "int8", "--output", tmp_path / "phone")
    assert read_metadata(tmp_path / "phone" / "encoder-int8.tflite").calibration_images == 20
    loose = ("--map-loss", 1, "--int8-bits", 0.5, "--int8-size", 2, "--latency-rounds", 1)
    # The index of such a run holds the queries as well.
    printed = call("verify", *run, "--litert", tmp_path / "phone", *loose)
    assert "20 queries against 20 database codes" in printed


def test_a_run_without_labels_is_verified_without_map(vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors)
    settings = {"dataset": "vectors", "data_dir": str(tmp_path / "v.npy"), "bits": 12}
    fit(FitSettings.check({**settings, "method": "lsh", "query_share": 0.5}), tmp_path / "run")
    run = ("--run", tmp_path / "run")
    call("litert", *run, "--kind", "float32", "--output", tmp_path / "phone")
    checked = ("verify", *run, "--litert", tmp_path / "phone", "--latency-rounds", 1)
    assert "mAP" not in call(*checked)
    result = CliRunner().invoke(app, [str(one) for one in (*checked, "--map-loss", 1)])
    assert "--map-loss cannot be measured on" in result.stderr
