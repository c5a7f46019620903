"""Presets of KerasHub as backbones, by small ones that are saved here."""

import importlib.util
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import app as export_app
from keras_hashing.encoder import HashEncoder
from training.backbones import check_backbone, make_backbone, native_size
from training.cli import app

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
SCALE, OFFSET = [1 / 64, 1 / 51, 1 / 50], [-2.0, -1.5, -1.75]


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders "classifier", "backbone" (without a converter), "tokens", and "text"."""
    hub = pytest.importorskip("keras_hub", reason="needs keras-hub: pip install -e '.[hub]'")
    folder = tmp_path_factory.mktemp("presets")
    residual = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )
    converter = hub.layers.ResNetImageConverter(image_size=(32, 32), scale=SCALE, offset=OFFSET)
    preprocessor = hub.models.ResNetImageClassifierPreprocessor(converter)
    hub.models.ResNetImageClassifier(residual, 3, preprocessor).save_to_preset(
        folder / "classifier"
    )
    residual.save_to_preset(folder / "backbone")
    hub.models.ViTBackbone((32, 32, 3), 8, 1, 2, 16, 16).save_to_preset(folder / "tokens")
    hub.models.BertBackbone(9, 1, 2, 8, 8).save_to_preset(folder / "text")
    return folder


def test_its_features_are_those_of_the_preset_behind_its_scaling(presets: Path) -> None:
    import keras_hub

    name = str(presets / "classifier")
    assert native_size(name) == 32
    backbone = make_backbone(name, (32, 32, 3))
    own = keras_hub.models.Backbone.from_preset(name)
    maps = own.predict(IMAGES * np.float32(SCALE) + np.float32(OFFSET), verbose=0)
    found = backbone.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(found, maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    assert make_backbone(name, (20, 24, 3)).output_shape == (None, 64)
    random = make_backbone(name, (32, 32, 3), weights="none").predict(IMAGES, verbose=0)
    assert not np.allclose(random, found)
    with pytest.warns(UserWarning, match="no image converter, so the network gets pixels from 0"):
        unscaled = make_backbone(str(presets / "backbone"), (32, 32, 3))
    maps = own.predict(IMAGES.astype(np.float32), verbose=0)
    np.testing.assert_allclose(
        unscaled.predict(IMAGES, verbose=0), maps.mean(axis=(1, 2)), rtol=1e-4
    )


@pytest.mark.slow
def test_a_run_on_it_is_trained_and_exported(presets: Path, tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES.repeat(6, axis=0)):
        path = tmp_path / "photos" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(path, image)
    run = tmp_path / "run"
    fit = ["fit", "--dataset", "folder", "--data-dir", str(tmp_path / "photos"), "--frozen"]
    fit += ["--query-per-class", "2", "--bits", "8", "--epochs", "1", "--batch-size", "8"]
    fit += ["--backbone", str(presets / "classifier"), "--output", str(run)]
    result = CliRunner().invoke(app, fit)
    assert result.exit_code == 0, result.output
    encoder = HashEncoder.load(run)
    assert encoder.preprocessing.shape == (32, 32, 3)
    for command in ("saved-model", "litert"):
        arguments = [command, "--run", str(run), "--output", str(tmp_path / command)]
        result = CliRunner().invoke(export_app, arguments)
        assert result.exit_code == 0, result.output


def test_what_is_no_preset_of_images_is_refused(
    presets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(presets / "backbone", presets / "cut")
    (presets / "cut" / "model.weights.h5").write_bytes(b"cut")
    for name, message in (
        (str(presets / "text"), "must take images.*BertBackbone that takes padding_mask"),
        (str(presets / "tokens"), r"takes images of shape \(32, 32, 3\).*--height"),
        ("hf://nobody/nothing", "'hf://nobody/nothing' cannot be loaded"),
        ("kaggle://one/two", "cannot be loaded: Unexpected Kaggle preset"),
        (str(presets / "cut"), "cannot be loaded: "),
    ):
        with pytest.raises(ValueError, match=message):
            make_backbone(name, (30, 32, 3))
    assert make_backbone(str(presets / "tokens"), (32, 32, 3)).output_shape == (None, 16)
    with pytest.raises(ValueError, match="comes with its weights"):
        make_backbone("hf://nobody/nothing", (32, 32, 3), weights="imagenet")


def test_without_kerashub_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    absent = lambda name: None if name == "keras_hub" else find(name)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", absent)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'keras-hashing\[hub\]'"):
        check_backbone("hf://user/model")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="is no preset of KerasHub: its config.json names no"):
        check_backbone(str(tmp_path))
