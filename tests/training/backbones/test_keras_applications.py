import importlib
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing.models import HashingModel
from training.backbones import make_backbone

SHAPE = (32, 32, 3)


# One of each scaling: [-1, 1], BGR less a mean, mean and deviation of ImageNet, none.
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("MobileNetV2", "mobilenet_v2"),
        ("VGG16", "vgg16"),
        pytest.param("DenseNet121", "densenet", marks=pytest.mark.slow),
        pytest.param("EfficientNetB0", "efficientnet", marks=pytest.mark.slow),
    ],
)
def test_pixels_are_scaled_as_the_model_was_trained(name: str, module: str, tmp_path) -> None:
    keras.utils.set_random_seed(0)
    backbone = make_backbone(name, SHAPE, weights="none")
    inner = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), dtype=np.uint8)
    scaled = getattr(keras.applications, module).preprocess_input(images.astype("float32"))
    probe = keras.Model(backbone.input, backbone.layers[-3].output)
    np.testing.assert_allclose(probe.predict(images, verbose=0), scaled, rtol=1e-5, atol=1e-4)
    features = backbone.predict(images, verbose=0)
    np.testing.assert_allclose(features, inner.predict(scaled, verbose=0), rtol=1e-4, atol=1e-6)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), features)


def test_unknown_names_are_refused_with_the_known() -> None:
    with pytest.raises(ValueError, match="Unknown backbone 'resnet'.*efficientnet-lite0.*ResNet50"):
        make_backbone("resnet", SHAPE)


def test_grey_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"take RGB images \(--channels 3\). Received: 1"):
        make_backbone("VGG16", (32, 32, 1), weights="none")


def test_weights_that_cannot_be_downloaded_are_told_in_a_line(monkeypatch) -> None:
    def get_file(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://host/vgg16.h5: None -- unreachable")

    monkeypatch.setattr(importlib.import_module("keras.src.utils.file_utils"), "get_file", get_file)
    with pytest.raises(ConnectionError, match="weights of 'VGG16' .*unreachable.*--weights"):
        make_backbone("VGG16", SHAPE)


def test_weights_of_a_run_are_those_of_its_backbone_at_another_size_too(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    backbone = make_backbone("MobileNet", SHAPE, dropout=0.2, weights="none")
    generator = np.random.default_rng(0)
    for weight in backbone.non_trainable_weights:  # else all statistics are 0 or 1
        low, high = (0.01, 0.1) if "variance" in weight.path else (-0.1, 0.1)
        weight.assign(generator.uniform(low, high, weight.shape))
    HashingModel(backbone, bits=16, method="dpsh").save(tmp_path / "model.keras")
    images = generator.integers(0, 256, (2, *SHAPE), dtype=np.uint8)
    again = make_backbone("MobileNet", SHAPE, weights=str(tmp_path))
    expected = backbone.predict(images, verbose=0)
    assert expected.std() > 0
    np.testing.assert_array_equal(again.predict(images, verbose=0), expected)
    larger = make_backbone("MobileNet", (48, 48, 3), weights=str(tmp_path))
    for before, after in zip(backbone.get_weights(), larger.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)
    with pytest.raises(ValueError, match="does not fit the backbone .*other shapes"):
        make_backbone("MobileNetV2", SHAPE, weights=str(tmp_path))
