"""Batches in which some images have labels and others have none."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing import losses, methods
from keras_hashing.models import HashingModel

CLASSES = np.arange(12) % 3
LABELLED = np.arange(12) % 4 < 2
NUMBERS = np.where(LABELLED, CLASSES, -1)
ROWS = np.where(LABELLED[:, None], np.eye(3)[CLASSES], -1).astype("float32")


def backbone():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, "relu")])


QUICK = ("csq", "dsdh", "greedyhash", "hashnet")  # one of each kind
METHODS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in methods.available()
]


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradient_are_those_of_the_parts(name, rng, value_and_gradient):
    model = HashingModel(
        backbone(), 8, name, "hswd", num_classes=3, instance_method="ntxent", instance_weight=0.7
    )
    codes = rng.normal(size=(24, 8)).astype("float32")
    views = tuple(np.zeros((2, 12, 5), "float32"))
    for variable in model.method.variables:  # DSDH's classifier is 0 before the first step
        if variable.path.endswith("classifier"):
            variable.assign(rng.normal(size=variable.shape))
    both = np.flatnonzero(np.tile(LABELLED, 2))
    labels = np.tile(np.eye(3, dtype="float32")[CLASSES], (2, 1))[both]

    def mixed(codes, rows=ROWS):
        with keras.StatelessScope():
            return model.compute_loss(views, rows, codes, training=False)

    def by_hand(codes):
        supervised = ops.mean(model.method(labels, ops.take(codes, both, axis=0)))
        balance = ops.mean(losses.HashSlicedWasserstein().call(codes, codes))
        instance = ops.mean(methods.NTXent(8)(None, codes))
        return supervised + 0.3 * balance + 0.7 * instance

    found, expected = (value_and_gradient(function, codes) for function in (mixed, by_hand))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mixed(codes, NUMBERS), expected[0], rtol=1e-5)
    supervised = np.mean(model.method(labels, codes[both]))
    without = mixed(codes, np.full((12, 3), -1.0))
    np.testing.assert_allclose(without, expected[0] - supervised, rtol=1e-4, atol=1e-5)


def test_state_is_that_of_the_images_with_labels(rng):
    codes = rng.normal(size=(12, 8)).astype("float32")
    for name, options in (("dsdh", {"window": 20}), ("hashnet", {"memory_size": 30})):
        mixed, alone = (methods.get(name, bits=8, num_classes=3, **options) for _ in range(2))
        for _ in range(2):
            mixed(ROWS, codes, training=True)
            alone(ROWS[LABELLED], codes[LABELLED], training=True)
        if name == "dsdh":
            for one, other in zip(mixed.variables, alone.variables, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        values = [ops.convert_to_numpy(one(ROWS[LABELLED], -codes[:6])) for one in (mixed, alone)]
        np.testing.assert_allclose(*values, rtol=1e-4)


def test_compiled_training_takes_both_kinds_at_once(rng):
    model = HashingModel(backbone(), 8, "csq", num_classes=3, instance_method="cibhash")
    model.compile("adam", jit_compile=True)
    images = rng.normal(size=(12, 5)).astype("float32")
    history = model.fit((images, images + 0.1), NUMBERS, batch_size=6, verbose=0).history
    assert all(np.isfinite(history[f"{part}_loss"]) for part in ("similarity", "instance"))
    assert history["similarity_loss"][0] > 0


def test_a_row_of_zeros_has_labels_and_another_negative_one_is_refused():
    model = HashingModel(backbone(), 8, "dpsh", num_classes=3)
    model.compile("adam")
    codes = np.ones((2, 8), "float32")
    found = [
        float(model.compute_loss(np.zeros((2, 5)), np.array(rows), codes, training=False))
        for rows in ([[1.0, 0, 0], [0, 0, 0]], [[1.0, 0, 0], [-1, -1, -1]])
    ]
    assert found[0] > found[1]  # they are a dissimilar pair, or none at all
    with pytest.raises(ValueError, match=r"Labels must be 0 or 1.*-1.0 at position \(1, 0\)"):
        model.fit(np.zeros((2, 5)), np.array([[1.0, 0, 0], [-1, 0, 0]]), verbose=0)
    with pytest.raises(ValueError, match="Class numbers must be integers from 0 to 2. Received: 3"):
        model.fit(np.zeros((2, 5)), np.array([-1, 3]), verbose=0)
