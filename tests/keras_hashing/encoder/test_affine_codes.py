"""Codes of many vectors by one matrix product: the model's own, bit for bit."""

import keras
import numpy as np
import pytest

from keras_hashing.encoder import HashEncoder, VectorInput
from keras_hashing.encoder.affine_codes import AffineCodes
from keras_hashing.layers import HashHead

WIDTH, BITS, ROWS = 24, 20, 9000


def network(*layers: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((WIDTH,))
    features = keras.Sequential([inputs, *layers])(inputs) if layers else inputs
    head = HashHead(BITS, kernel_initializer="random_normal")
    model = keras.Model(inputs, head(features))
    head.projection.bias.assign(np.linspace(-0.1, 0.1, BITS))
    return model


def standardise() -> keras.layers.Layer:
    random = np.random.default_rng(1)
    return keras.layers.Normalization(
        mean=random.normal(size=WIDTH), variance=random.uniform(0.01, 2, WIDTH)
    )


def unit_length() -> keras.layers.Layer:
    return keras.layers.UnitNormalization()


def vectors() -> np.ndarray:
    """Ordinary ones, and those whose length or square float32 does not hold."""
    found = np.random.default_rng(2).normal(size=(ROWS, WIDTH)).astype(np.float32)
    found[10] *= 1e20
    found[11] *= 1e-20
    found[12] *= 1e-38
    return found


@pytest.mark.parametrize(
    "layers",
    [
        (),
        (standardise,),
        (unit_length,),
        (unit_length, standardise, lambda: keras.layers.Dropout(0.5)),
        (lambda: keras.layers.Normalization(axis=None, mean=0.1, variance=2.0),),
    ],
    ids=["none", "standardise", "unit", "unit, standardise", "one mean for all"],
)
def test_the_codes_are_those_of_the_model(layers, monkeypatch):
    model = network(*(make() for make in layers))
    expected = model.predict(vectors(), batch_size=ROWS, verbose=0)
    signs, unsure = AffineCodes.of(model).signs(vectors())
    sure = np.setdiff1d(np.arange(ROWS), unsure)
    np.testing.assert_array_equal(signs[sure], expected[sure] > 0)
    assert {10, 11, 12} <= set(unsure)
    assert len(unsure) < 0.05 * ROWS

    encoder = HashEncoder(model, VectorInput(WIDTH))
    asked = []
    own = HashEncoder._in_batches
    monkeypatch.setattr(
        HashEncoder, "_in_batches", lambda *args: asked.append(len(args[1])) or own(*args)
    )
    packed = encoder.encode(vectors())
    assert sum(asked) == 64 + len(unsure)
    np.testing.assert_array_equal(packed, np.packbits(expected > 0, axis=1))


def test_a_value_of_exactly_zero_is_left_to_the_model():
    model = network()
    model.layers[-1].projection.bias.assign(np.zeros(BITS))
    found = vectors()
    found[5], found[6] = 0, 0
    found[5, 0] = 1  # a copy of the kernel's first row, of which one value is 0
    kernel = keras.ops.convert_to_numpy(model.layers[-1].projection.kernel).copy()
    kernel[0, 7] = 0
    model.layers[-1].projection.kernel.assign(kernel)
    _, unsure = AffineCodes.of(model).signs(found)
    assert {5, 6} <= set(unsure)


class Clipped(keras.Model):
    def call(self, inputs):
        return clipped(super().call(inputs))


class ClippedHead(HashHead):
    def call(self, inputs, training=None):
        return super().call(clipped(inputs))


class Clipping(keras.layers.Dropout):
    def call(self, inputs, training=None):
        return clipped(inputs)


def clipped(values):
    return keras.ops.clip(values, -9.0, 9.0)


@pytest.mark.parametrize("kind", ["operation", "model", "head", "layer"])
def test_what_shows_in_few_vectors_alone_is_not_passed_over(kind):
    inputs = keras.Input((WIDTH,))
    features = {
        "operation": clipped,
        "layer": Clipping(0.5),
        "model": Clipped(inputs, standardise()(inputs)),
        "head": lambda values: values,
    }[kind](inputs)
    head = ClippedHead if kind == "head" else HashHead
    assert AffineCodes.of(keras.Model(inputs, head(BITS)(features))) is None


@pytest.mark.parametrize(
    "layers",
    [
        (lambda: keras.layers.Dense(WIDTH, "relu"),),
        (standardise, unit_length),
        (unit_length, unit_length),
        (lambda: keras.layers.UnitNormalization(dtype="mixed_bfloat16"),),
    ],
    ids=["hidden", "other order", "twice", "half precision"],
)
def test_other_models_are_not_taken_for_one(layers):
    assert AffineCodes.of(network(*(make() for make in layers))) is None


def test_a_model_whose_layers_are_not_in_a_row_is_not_believed():
    inputs = keras.Input((WIDTH,))
    normalization = standardise()
    model = keras.Model(inputs, HashHead(BITS)(normalization(normalization(inputs))))
    encoder = HashEncoder(model, VectorInput(WIDTH))
    assert AffineCodes.of(model) is not None
    expected = model.predict(vectors(), batch_size=ROWS, verbose=0)
    np.testing.assert_array_equal(encoder.encode(vectors()), np.packbits(expected > 0, axis=1))
