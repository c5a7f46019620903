"""A method of labels with one of two views beside it."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing import methods
from keras_hashing.models import HashingModel

LABELS = np.eye(3, dtype=np.float32)[np.arange(12) % 3]


def backbone() -> keras.Model:
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, "relu")])


def vectors(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(12, 5)).astype(np.float32)


@pytest.mark.parametrize("method", ["orthohash", "hashnet"])
def test_the_loss_is_the_sum_of_its_parts_on_both_views(method: str) -> None:
    model = HashingModel(
        backbone(), 8, method, "hswd", num_classes=3, instance_method="ntxent", instance_weight=0.7
    )
    views = vectors(0), vectors(1)
    codes = keras.ops.convert_to_numpy(model(views))
    assert codes.shape == (24, 8)
    found = float(model.compute_loss(views, LABELS, codes, training=False))
    both = np.concatenate([LABELS, LABELS])
    parts = [
        model.method(both, codes),
        0.3 * model.quantization.call(codes, codes),
        0.7 * methods.NTXent(8)(None, codes),
    ]
    expected = sum(float(keras.ops.mean(part)) for part in parts)
    assert found == pytest.approx(expected, rel=1e-5)


def test_it_trains_is_saved_and_keeps_images_of_a_class_apart(tmp_path: Path) -> None:
    centres = 3 * np.random.default_rng(2).normal(size=(12, 5))
    images = np.repeat(centres, 8, axis=0) + np.random.default_rng(3).normal(size=(96, 5)) / 10
    images, labels = images.astype(np.float32), np.repeat(LABELS, 8, axis=0)

    def different_codes(**options: object) -> int:
        keras.utils.set_random_seed(0)
        model = HashingModel(backbone(), 16, "csq", num_classes=3, **options)
        model.compile(keras.optimizers.Adam(0.02))
        inputs = images if model.views == 1 else (images, images + np.float32(0.02))
        history = model.fit(inputs, labels, epochs=30, batch_size=32, verbose=0).history
        assert ("instance_loss" in history) == bool(options)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.encode(images), model.encode(images))
        assert loaded.views == model.views
        assert loaded.instance_weight == model.instance_weight
        return len(np.unique(model.encode(images), axis=0))

    alone, apart = different_codes(), different_codes(instance_method="ntxent")
    assert apart > alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instance_method": "hashnet"}, "must be a method that compares two views"),
        ({"method": "itq", "instance_method": "ntxent"}, "that learns from labels.*method=ITQ"),
        ({"instance_method": methods.NTXent(16)}, "same number of bits"),
        ({"instance_method": "ntxent", "instance_weight": -1}, "`instance_weight` must be"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HashingModel(backbone(), 8, num_classes=3, **options)


def test_one_view_is_refused() -> None:
    model = HashingModel(backbone(), 8, "csq", num_classes=3, instance_method="crovca")
    with pytest.raises(ValueError, match="CroVCA takes 2 views of each image. Received: one view"):
        model.compute_loss(vectors(0), LABELS, model(vectors(0)))
