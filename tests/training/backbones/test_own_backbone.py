"""A network of the user's own, from a `.keras` file, as a backbone and as weights."""

from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from training.backbones import make_backbone, native_size
from training.cli import app
from training.runs.run_folder import load_run

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def network(size: int | None = 8, pooled: bool = True) -> keras.Model:
    layers = [
        keras.Input((size, size, 1)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu"),
    ]
    return keras.Sequential([*layers, *([keras.layers.GlobalAveragePooling2D()] if pooled else [])])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    network().save(tmp_path / "mine.keras")
    return tmp_path / "mine.keras"


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("size", [8, None])
def test_its_features_are_those_of_the_model(
    pooled: bool, size: int | None, tmp_path: Path
) -> None:
    model = network(size, pooled)
    model.save(tmp_path / "mine.keras")
    backbone = make_backbone(str(tmp_path / "mine.keras"), (8, 8, 1))
    expected = model.predict(IMAGES, verbose=0)
    expected = expected if pooled else expected.mean(axis=(1, 2))
    np.testing.assert_allclose(backbone.predict(IMAGES, verbose=0), expected, rtol=1e-5)


def test_a_run_is_trained_on_it_and_by_its_weights(file: Path, tmp_path: Path) -> None:
    options = [
        "--dataset",
        "digits",
        "--train-per-class",
        "15",
        "--bits",
        "8",
        "--epochs",
        "1",
        "--batch-size",
        "32",
    ]
    for output, more in (("frozen", ["--frozen"]), ("tuned", [])):
        arguments = [*options, "--backbone", str(file), *more, "--output", str(tmp_path / output)]
        result = CliRunner().invoke(app, ["fit", *arguments])
        assert result.exit_code == 0, result.output
    run = load_run(tmp_path / "frozen")
    own = keras.saving.load_model(file)
    frozen = [
        weight for weight in run.model.weights if weight.path.startswith(("conv", "sequential"))
    ]
    np.testing.assert_array_equal(frozen[0].numpy(), own.get_weights()[0])

    tuned = load_run(tmp_path / "tuned")
    again = make_backbone(str(file), (8, 8, 1))
    from training.backbones.weights_file import load_weights_file

    load_weights_file(again, str(tmp_path / "tuned" / "model.keras"))
    np.testing.assert_array_equal(again.get_weights()[0], tuned.model.backbone.get_weights()[0])
    assert not np.array_equal(again.get_weights()[0], own.get_weights()[0])


@pytest.mark.parametrize(
    ("name", "shape", "weights", "message"),
    [
        ("absent.keras", (8, 8, 1), None, "There is no Keras model"),
        ("text.keras", (8, 8, 1), None, "is no Keras model"),
        ("mine.keras", (9, 8, 1), None, r"takes images of shape \(8, 8, 1\).*--height"),
        ("mine.keras", (8, 8, 3), None, r"takes images of shape"),
        ("mine.keras", (8, 8, 1), "imagenet", "comes with its weights"),
        ("vectors.keras", (8, 8, 1), None, r"takes images of shape \(7,\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, shape: tuple, weights: str | None, message: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.keras").write_text("nothing")
    keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)]).save(tmp_path / "vectors.keras")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make_backbone(str(tmp_path / name), shape, weights=weights)


def test_the_size_of_images_is_that_of_its_input(file: Path, tmp_path: Path) -> None:
    network(None).save(tmp_path / "any.keras")
    keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)]).save(tmp_path / "vectors.keras")
    names = (file, tmp_path / "any.keras", tmp_path / "vectors.keras")
    assert [native_size(str(name)) for name in names] == [8, None, None]


def test_random_weights_on_demand(file: Path) -> None:
    random = make_backbone(str(file), (8, 8, 1), weights="none")
    own = keras.saving.load_model(file)
    assert not np.array_equal(random.get_weights()[0], own.get_weights()[0])
