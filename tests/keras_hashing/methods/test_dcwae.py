"""The autoencoder of arXiv 2003.00134, against its formula in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing import losses, methods
from keras_hashing.models import HashingModel


def reconstruction(method, vectors, codes):
    mean = ops.convert_to_numpy(method.standardise.moving_mean)
    variance = ops.convert_to_numpy(method.standardise.moving_variance)
    targets = (vectors - mean) / np.sqrt(variance + method.standardise.epsilon)
    first, bias, second, offset = (
        ops.convert_to_numpy(weight).astype("float64") for weight in method.trainable_weights
    )
    hidden = codes @ first + bias
    decoded = np.where(hidden > 0, hidden, 0.2 * hidden) @ second + offset
    return np.mean((targets - decoded) ** 2, axis=1)


def test_value_and_gradient_are_those_of_the_formula(rng, value_and_gradient):
    method = methods.DCWAE(8, features=5, decoder_units=6)
    method.standardise.moving_mean.assign(rng.normal(size=5))
    method.standardise.moving_variance.assign(rng.uniform(1, 4, size=5))
    vectors, codes = rng.normal(size=(7, 5)).astype("float32"), rng.normal(size=(7, 8))
    values, gradient = value_and_gradient(
        lambda u: ops.sum(method(vectors, u)), codes.astype("float32")
    )
    expected = reconstruction(method, vectors, codes).sum()
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    for index in [(0, 0), (3, 5), (6, 7)]:
        moved = codes.copy()
        moved[index] += 1e-6
        slope = (reconstruction(method, vectors, moved).sum() - expected) / 1e-6
        np.testing.assert_allclose(gradient[index], slope, rtol=2e-3, atol=1e-4)
    bad = np.where(np.arange(7)[:, None] == 2, np.nan, codes).astype("float32")
    values = ops.convert_to_numpy(method(vectors, bad))
    np.testing.assert_array_equal(np.isnan(values), np.arange(7) == 2)


def test_model_learns_to_reconstruct_vectors_of_any_scale_and_is_saved_whole(rng, tmp_path):
    keras.utils.set_random_seed(0)
    vectors = (rng.normal(size=(96, 3)) @ rng.normal(size=(3, 12)) * 50 + 7).astype("float32")
    backbone = keras.Sequential([keras.Input((12,)), keras.layers.Dense(16, "relu")])
    model = HashingModel(backbone, 8, "dcwae:decoder_units=32", "native")
    assert isinstance(model.quantization, losses.HashSlicedWasserstein)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(vectors, epochs=20, batch_size=32, verbose=0).history
    assert history["similarity_loss"][-1] < history["similarity_loss"][0] / 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(vectors), model.encode(vectors))
    before, after = (
        float(one.compute_loss(vectors, None, one(vectors), training=False))
        for one in (model, loaded)
    )
    assert after == pytest.approx(before, rel=1e-5)


def test_images_and_another_width_are_refused():
    images = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model = HashingModel(images, 8, "dcwae")
    with pytest.raises(ValueError, match="DCWAE reconstructs vectors.*input shape"):
        model.compute_loss(np.zeros((2, 4, 4, 1)), None, np.zeros((2, 8)))
    vectors = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
    with pytest.raises(ValueError, match="width of the model's input, 5. Received: features=6"):
        HashingModel(vectors, 8, methods.DCWAE(8, features=6))
