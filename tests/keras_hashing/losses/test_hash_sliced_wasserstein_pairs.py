import itertools

import numpy as np
import ot
import pytest
from keras import ops

from keras_hashing.losses import HashSlicedWasserstein, HashSlicedWassersteinPairs

LEVELS = np.sqrt(2) * np.array([-1.0, 0.0, 1.0])
CHANCES = np.array([0.25, 0.5, 0.25])


def pairs_only(codes, **options):
    """The term for pairs, which is what is left of the loss without HSWD."""
    codes = np.asarray(codes, "float32")
    loss = HashSlicedWassersteinPairs(**options)
    return float(loss(codes, codes)) - float(HashSlicedWasserstein()(codes, codes))


def matched(loss, codes):
    order = ops.convert_to_numpy(loss.draw(ops.convert_to_tensor(codes)))
    half = codes.shape[1] // 2
    return order[:half], order[half : 2 * half]


def sums_and_differences(codes, first, second):
    codes = codes.astype("float64")
    u, v = codes[:, first], codes[:, second]
    return np.concatenate([u + v, u - v], axis=1) / np.sqrt(2)


def transport_of_pot(codes, first, second):
    values = sums_and_differences(codes, first, second)
    return ot.wasserstein_1d(
        values, np.tile(LEVELS[:, None], values.shape[1]), None, CHANCES, p=2
    ).mean()


@pytest.mark.parametrize(("samples", "bits"), [(1, 7), (2, 7), (33, 7), (34, 2), (35, 16)])
@pytest.mark.parametrize("kind", ["random", "ties", "one value"])
def test_value_equals_exact_transport_of_pot(samples, bits, kind, rng):
    codes = rng.normal(size=(samples, bits)).astype("float32")
    if kind == "ties":
        codes = np.round(codes)
    if kind == "one value":
        codes = np.full_like(codes, 0.3)
    expected = transport_of_pot(codes, *matched(HashSlicedWassersteinPairs(), codes))
    np.testing.assert_allclose(pairs_only(codes), expected, rtol=1e-4, atol=1e-6)


def test_pairs_of_independent_signs_cost_nothing():
    codes = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    np.testing.assert_allclose(pairs_only(codes), 0, atol=1e-6)
    for row in range(len(codes)):  # one sample less, and they are not
        assert pairs_only(np.delete(codes, row, axis=0)) > 1e-3


def test_zero_is_for_independent_balanced_bits_only():
    """Bits over eight samples, in whatever order: zero where each of the four signs comes twice."""
    for positive, negative in itertools.product(range(5), repeat=2):
        second = np.repeat([1.0, -1.0, 1.0, -1.0], [positive, 4 - positive, negative, 4 - negative])
        codes = np.stack([[1.0, 1, 1, 1, -1, -1, -1, -1], second], axis=1)
        independent = all(
            np.sum((codes == signs).all(axis=1)) == 2
            for signs in itertools.product([-1, 1], repeat=2)
        )
        assert (pairs_only(codes) < 1e-6) == independent


@pytest.mark.parametrize("sign", [1, -1])
def test_copies_of_one_balanced_bit_cost_the_weight(sign, rng):
    bit = rng.permutation(np.repeat([1.0, -1.0], 16))
    codes = np.stack([bit, sign * bit], axis=1).astype("float32")
    np.testing.assert_allclose(pairs_only(codes, pairs_weight=0.4), 0.4, rtol=1e-5)
    many = np.repeat(codes, 32, axis=1)
    loss = HashSlicedWassersteinPairs()
    np.testing.assert_allclose(float(loss(many, many)), 1.0, rtol=1e-5)


def test_one_bit_has_no_pair(rng):
    assert pairs_only(rng.normal(size=(9, 1))) == 0


def own_part(codes, kept, first, second):
    """The batch's own part of POT's plan of batch and kept codes, times N/n, without ties."""
    costs = []
    for values in sums_and_differences(np.concatenate([codes, kept]), first, second).T:
        mass = np.full(len(values), 1 / len(values))
        plan = ot.emd_1d(values, LEVELS, mass, CHANCES, metric="sqeuclidean")
        cost = (values[:, None] - LEVELS[None]) ** 2
        costs.append((plan * cost)[: len(codes)].sum() * len(values) / len(codes))
    return np.mean(costs)


@pytest.mark.parametrize("kept", [0, 18])
def test_value_and_gradient_with_a_memory_equal_exact_transport(kept, rng, value_and_gradient):
    codes = rng.normal(size=(15, 6)).astype("float32")
    older = rng.normal(size=(kept, 6)).astype("float32")
    rows = np.concatenate([older, np.full((24 - kept, 6), 1e3, "float32")])
    filled = (np.arange(24) < kept).astype("float32")
    loss, marginals = HashSlicedWassersteinPairs(pairs_weight=0.5), HashSlicedWasserstein()
    first, second = matched(loss, codes)
    order = loss.draw(ops.convert_to_tensor(codes))
    loss.draw = lambda batch: order  # the finite differences must match the same pairs

    def pairs(u):
        return ops.mean(
            loss.call(None, u, (rows, filled)) - marginals.call(None, u, (rows, filled))
        )

    value, gradient = value_and_gradient(pairs, codes)
    np.testing.assert_allclose(value, 0.5 * own_part(codes, older, first, second), rtol=1e-4)
    step = 1e-6
    expected = np.zeros(codes.shape)
    for index in np.ndindex(*codes.shape):
        up, down = codes.astype("float64"), codes.astype("float64")
        up[index] += step
        down[index] -= step
        difference = own_part(up, older, first, second) - own_part(down, older, first, second)
        expected[index] = 0.5 * difference / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_every_bit_is_matched_once_and_another_batch_has_another_matching(rng):
    loss = HashSlicedWassersteinPairs()
    batches = [ops.convert_to_tensor(rng.normal(size=(8, 16)).astype("float32")) for _ in range(2)]
    orders = [ops.convert_to_numpy(loss.draw(batch)) for batch in batches]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(16))
    assert (orders[0] != orders[1]).any()


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match="`pairs_weight` must be a finite number of at least 0"):
        HashSlicedWassersteinPairs(pairs_weight=-1)
