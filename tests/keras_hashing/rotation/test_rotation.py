import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import check_grad

from keras_hashing.layers import HashHead
from keras_hashing.losses import SignDistance
from keras_hashing.rotation import fold_rotation, h2q, h2q_rotation, itq_rotation

ROTATIONS = {"itq": itq_rotation, "h2q": h2q_rotation}


@pytest.fixture
def codes(rng):
    """Codes of ±1 corners that were rotated away, with noise."""
    corners = rng.choice([-1.0, 1.0], (6, 16))[rng.integers(0, 6, 300)]
    turned, _ = np.linalg.qr(rng.normal(size=(16, 16)))
    return corners @ turned + 0.1 * rng.normal(size=(300, 16))


def error(codes):
    return np.mean((np.abs(codes) - 1) ** 2)


@pytest.mark.parametrize("name", ROTATIONS)
def test_rotation_is_orthogonal_and_lowers_the_quantization_error(name, codes):
    rotation = ROTATIONS[name](codes)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(16), atol=1e-10)
    rotated = codes @ rotation
    np.testing.assert_allclose(rotated @ rotated.T, codes @ codes.T, atol=1e-9)
    assert error(rotated) < 0.5 * error(codes)


@pytest.mark.parametrize("name", ROTATIONS)
def test_error_does_not_rise_where_codes_are_binary_already(name, rng):
    codes = rng.choice([-1.0, 1.0], (200, 8)) + 0.05 * rng.normal(size=(200, 8))
    assert error(codes @ ROTATIONS[name](codes, iterations=3)) <= error(codes) + 1e-12


def test_itq_reaches_a_fixed_point_of_both_of_its_steps(codes):
    rotation = itq_rotation(codes, iterations=500)
    binary = np.where(codes @ rotation > 0, 1.0, -1.0)
    # The Procrustes step for these signs: Rᵀ Vᵀ B is symmetric and positive semidefinite.
    stationary = rotation.T @ codes.T @ binary
    np.testing.assert_allclose(stationary, stationary.T, atol=1e-8)
    assert np.linalg.eigvalsh(stationary).min() > -1e-8


def test_gradient_of_h2q_equals_finite_difference(rng):
    codes, vectors = rng.normal(size=(30, 6)), rng.normal(size=(6, 6))

    def part(k):
        return lambda flat: h2q._error_and_gradient(codes, flat.reshape(6, 6))[k]

    assert check_grad(part(0), part(1), vectors.ravel(), epsilon=1e-7) < 1e-5


def test_h2q_starts_from_the_identity(rng):
    vectors = np.repeat(rng.normal(size=(4, 8)), 2, axis=0)
    np.testing.assert_allclose(h2q.product_of_reflections(vectors), np.eye(8), atol=1e-12)


@pytest.mark.parametrize("use_bias", [True, False])
def test_folded_head_emits_the_rotated_codes(use_bias, rng):
    head = HashHead(16, use_bias=use_bias)
    features = rng.normal(size=(50, 5)).astype("float32")
    codes = ops.convert_to_numpy(head(features))
    if use_bias:
        head.projection.bias.assign(rng.normal(size=16))
        codes = ops.convert_to_numpy(head(features))
    rotation = itq_rotation(codes)
    fold_rotation(head, rotation)
    rotated = ops.convert_to_numpy(head(features))
    np.testing.assert_allclose(rotated, codes @ rotation, atol=1e-4)
    assert float(SignDistance()(rotated, rotated)) <= float(SignDistance()(codes, codes)) + 1e-6


@pytest.mark.parametrize("use_bias", [True, False])
def test_normalized_head_emits_the_rotated_codes_in_inference(use_bias, rng, tmp_path):
    head = HashHead(16, use_bias=use_bias, batch_normalization=True)
    model = keras.Sequential([keras.Input((5,)), head])
    for weight in head.weights:
        weight.assign(rng.uniform(0.5, 2, weight.shape))
    features = rng.normal(size=(50, 5)).astype("float32")
    codes = ops.convert_to_numpy(model(features, training=False))
    rotation = itq_rotation(codes)
    for turned in (rotation, rotation @ rotation):  # folding twice is folding the product
        fold_rotation(head, rotation)
        rotated = ops.convert_to_numpy(model(features, training=False))
        np.testing.assert_allclose(rotated, codes @ turned, atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(features, verbose=0), rotated, atol=1e-5)


def test_head_with_an_activation_is_refused():
    head = HashHead(8, activation="tanh")
    head.build((None, 5))
    with pytest.raises(ValueError, match="without activation only.*activation='tanh'"):
        fold_rotation(head, np.eye(8))


def test_bad_arguments_are_refused(rng):
    head = HashHead(8)
    with pytest.raises(ValueError, match="`head` must be a built"):
        fold_rotation(head, np.eye(8))
    with pytest.raises(ValueError, match="`head` must be a built"):
        fold_rotation(keras.layers.Dense(8), np.eye(8))
    head.build((None, 5))
    for rotation in (np.eye(16), 2 * np.eye(8)):
        with pytest.raises(ValueError, match=r"orthogonal matrix of shape \(8, 8\)"):
            fold_rotation(head, rotation)
    codes = rng.normal(size=(20, 8))
    for rotation in ROTATIONS.values():
        with pytest.raises(ValueError, match="`iterations` must be a positive integer"):
            rotation(codes, iterations=0)
        with pytest.raises(ValueError, match="finite continuous codes"):
            rotation(np.full((4, 8), np.nan))


@pytest.mark.parametrize("bits", [1, 2, 7])
@pytest.mark.parametrize("rotation", ROTATIONS.values())
def test_any_number_of_bits_can_be_rotated(rotation, bits, rng):
    codes = rng.normal(size=(40, bits))
    found = rotation(codes)
    np.testing.assert_allclose(found @ found.T, np.eye(bits), atol=1e-9)
    assert error(codes @ found) <= error(codes) + 1e-12
