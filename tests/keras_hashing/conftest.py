"""The library's tests run on whichever backend KERAS_BACKEND names."""

import keras
import numpy as np
import pytest
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow

    # Two devices on one processor, for the tests of tf.distribute.
    tensorflow.config.set_logical_device_configuration(
        tensorflow.config.list_physical_devices("CPU")[0],
        [tensorflow.config.LogicalDeviceConfiguration()] * 2,
    )


def _tensorflow_value_and_gradient(function, x):
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value, tape.gradient(value, x)


def _jax_value_and_gradient(function, x):
    import jax

    return jax.value_and_grad(function)(ops.convert_to_tensor(x))


@pytest.fixture
def value_and_gradient():
    """`(function, x) → (value, gradient)` as NumPy arrays, on the active backend."""
    differentiate = {
        "tensorflow": _tensorflow_value_and_gradient,
        "jax": _jax_value_and_gradient,
    }[keras.backend.backend()]

    def run(function, x):
        value, gradient = differentiate(function, x)
        return ops.convert_to_numpy(value), ops.convert_to_numpy(gradient)

    return run


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def blobs():
    """Images of three classes that a linear backbone can tell apart, with one-hot labels."""
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 3, 96)
    centres = rng.normal(size=(3, 4, 4, 1))
    images = centres[classes] + 0.1 * rng.normal(size=(96, 4, 4, 1))
    return images.astype("float32"), np.eye(3, dtype="float32")[classes]


@pytest.fixture
def make_backbone():
    """Makes a small backbone for 4×4×1 images."""

    def make():
        return keras.Sequential(
            [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(16, "relu")]
        )

    return make
