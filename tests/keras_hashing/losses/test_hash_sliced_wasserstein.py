import keras
import numpy as np
import ot
import pytest
from keras import ops

from keras_hashing.losses import HashSlicedWasserstein


def transport_of_pot(codes, p):
    """Mean over the bits of POT's exact 1-D transport to the fair coin on {-1, +1}."""
    half = np.array([0.5, 0.5])
    target = np.array([-1.0, 1.0])
    costs = []
    for values in codes.astype("float64").T:
        mass = np.full(len(values), 1 / len(values))
        metric = "sqeuclidean" if p == 2 else "cityblock"
        costs.append(ot.emd2_1d(values, target, mass, half, metric=metric))
    return np.mean(costs)


def inputs():
    rng = np.random.default_rng(7)
    normal = rng.normal(size=(64, 16))
    saturated = np.tanh(8 * rng.normal(size=(64, 16)))
    few_values = rng.integers(-2, 3, size=(65, 8)).astype("float64")
    shifted = rng.normal(size=(50, 8)) + 3
    return {
        "random": normal,
        "saturated": saturated,
        "saturated_signs": np.sign(normal[:63]),
        "all_tied": np.full((32, 8), 0.3),
        "all_zero": np.zeros((7, 8)),
        "odd_sized": normal[:33],
        "many_ties": few_values,
        "single_sample": normal[:1],
        "two_samples": normal[:2],
        "one_sided": shifted,
        "large": 1e3 * normal,
    }


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", inputs())
def test_value_equals_exact_transport_of_pot(name, p):
    codes = inputs()[name].astype("float32")
    value = float(HashSlicedWasserstein(p=p)(codes, codes))
    np.testing.assert_allclose(value, transport_of_pot(codes, p), rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_value_equals_wasserstein_1d_of_pot_with_drawn_out_target(p, rng):
    codes = rng.normal(size=(40, 8)).astype("float32")
    target = np.repeat([[-1.0], [1.0]], 20, axis=0).repeat(8, axis=1)
    expected = ot.wasserstein_1d(codes.astype("float64"), target, p=p).mean()
    value = float(HashSlicedWasserstein(p=p)(codes, codes))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("samples", [32, 33, 1])
def test_gradient_equals_finite_difference_away_from_ties(p, samples, rng, value_and_gradient):
    codes = rng.normal(size=(samples, 8)).astype("float32")
    loss = HashSlicedWasserstein(p=p)
    _, gradient = value_and_gradient(lambda u: loss(u, u), codes)

    step = 1e-6
    wide = codes.astype("float64")
    expected = np.zeros_like(wide)
    for index in np.ndindex(*wide.shape):
        up, down = wide.copy(), wide.copy()
        up[index] += step
        down[index] -= step
        expected[index] = (transport_of_pot(up, p) - transport_of_pot(down, p)) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_value_is_the_same_in_any_sample_order(p, rng):
    codes = np.round(rng.normal(size=(51, 16)), 1).astype("float32")
    loss = HashSlicedWasserstein(p=p)
    value = float(loss(codes, codes))
    for _ in range(5):
        shuffled = rng.permutation(codes)
        np.testing.assert_allclose(float(loss(shuffled, shuffled)), value, rtol=1e-6)


def test_balanced_binary_codes_score_zero():
    codes = np.repeat([[1.0], [-1.0]], 8, axis=0).repeat(16, axis=1)
    for p in (1, 2):
        assert float(HashSlicedWasserstein(p=p)(codes, codes)) == 0.0


def test_copies_of_one_balanced_bit_score_zero_as_the_documentation_warns(rng):
    bit = rng.permutation(np.repeat([1.0, -1.0], 16))
    codes = np.repeat(bit[:, None], 64, axis=1)
    assert float(HashSlicedWasserstein()(codes, codes)) == 0.0


def test_no_reduction_gives_one_value_a_sample_whose_mean_is_the_loss(rng):
    codes = rng.normal(size=(20, 8)).astype("float32")
    values = HashSlicedWasserstein(reduction=None)(codes, codes)
    assert tuple(values.shape) == (20,)
    value = float(HashSlicedWasserstein()(codes, codes))
    np.testing.assert_allclose(np.mean(ops.convert_to_numpy(values)), value, rtol=1e-6)
    total = float(HashSlicedWasserstein(reduction="sum")(codes, codes))
    np.testing.assert_allclose(total, 20 * value, rtol=1e-6)


def test_sample_weight_scales_the_term_of_a_sample_and_leaves_the_median(rng):
    codes = rng.normal(size=(20, 8)).astype("float32")
    weights = rng.uniform(size=20).astype("float32")
    values = ops.convert_to_numpy(HashSlicedWasserstein(reduction=None)(codes, codes))
    weighted = float(HashSlicedWasserstein()(codes, codes, sample_weight=weights))
    np.testing.assert_allclose(weighted, np.mean(values * weights), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_codes_are_compared_in_float32(dtype, rng):
    codes = ops.cast(ops.convert_to_tensor(rng.normal(size=(64, 8)).astype("float32")), dtype)
    wide = ops.convert_to_numpy(ops.cast(codes, "float32"))
    for loss_dtype in (None, "mixed_float16"):
        value = HashSlicedWasserstein(dtype=loss_dtype)(codes, codes)
        rtol = 1e-5 if loss_dtype is None else 1e-3  # Keras reduces in the loss's own dtype
        np.testing.assert_allclose(float(value), transport_of_pot(wide, 2), rtol=rtol)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("p", [1, 2])
def test_non_finite_code_gives_non_finite_loss(bad, p, rng):
    codes = rng.normal(size=(16, 8)).astype("float32")
    codes[3, 2] = bad
    assert not np.isfinite(float(HashSlicedWasserstein(p=p)(codes, codes)))


def test_empty_batch_gives_no_values():
    codes = np.zeros((0, 8), "float32")
    assert tuple(HashSlicedWasserstein(reduction=None)(codes, codes).shape) == (0,)


def test_codes_of_another_rank_are_refused():
    codes = np.zeros((4, 8, 1), "float32")
    with pytest.raises(ValueError, match=r"shape \(batch, bits\).*Received: shape=\(4, 8, 1\)"):
        HashSlicedWasserstein()(codes, codes)


@pytest.mark.parametrize("p", [0, 3, 1.5, "2"])
def test_another_order_is_refused(p):
    with pytest.raises(ValueError, match="`p` must be 1 or 2. Received"):
        HashSlicedWasserstein(p=p)


def test_trains_inside_a_compiled_model(rng):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8)])
    model.compile("adam", loss=HashSlicedWasserstein())
    x = rng.normal(size=(64, 5)).astype("float32")
    history = model.fit(x, np.zeros((64, 8)), batch_size=64, epochs=30, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_value_is_the_same_inside_xla(rng):
    codes = rng.normal(size=(33, 8)).astype("float32")
    loss = HashSlicedWasserstein()
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(lambda u: loss(u, u))
    else:
        import tensorflow as tf

        compiled = tf.function(lambda u: loss(u, u), jit_compile=True)
    np.testing.assert_allclose(
        float(compiled(ops.convert_to_tensor(codes))), transport_of_pot(codes, 2), rtol=1e-5
    )


def own_part_of_pot(codes, kept, target, mass_of_target):
    """The part of POT's plan of batch and kept codes that is the batch's own, times N/n."""
    costs = []
    for values in np.concatenate([codes, kept]).astype("float64").T:
        mass = np.full(len(values), 1 / len(values))
        plan = ot.emd_1d(values, target, mass, mass_of_target, metric="sqeuclidean")
        cost = (values[:, None] - target[None]) ** 2
        # Tied samples share alike: POT serves them in some order.
        for tied in np.unique(values):
            plan[values == tied] = plan[values == tied].mean(axis=0)
        costs.append((plan * cost)[: len(codes)].sum() * len(values) / len(codes))
    return np.mean(costs)


COIN = np.array([-1.0, 1.0]), np.array([0.5, 0.5])


def with_empty_rows(kept, size):
    rows = np.full((size, kept.shape[1]), 1e3, "float32")  # what must not be looked at
    rows[: len(kept)] = kept
    return rows, (np.arange(size) < len(kept)).astype("float32")


@pytest.mark.parametrize("kept", [0, 17, 40])
@pytest.mark.parametrize("name", ["random", "odd_sized", "many_ties", "single_sample", "all_zero"])
def test_with_a_memory_equals_the_batchs_part_of_exact_transport(name, kept, rng):
    codes = inputs()[name].astype("float32")
    older = rng.integers(-2, 3, size=(kept, codes.shape[1])).astype("float32") / 2
    loss = HashSlicedWasserstein()
    value = np.mean(loss.call(None, codes, with_empty_rows(older, 40)))
    np.testing.assert_allclose(value, own_part_of_pot(codes, older, *COIN), rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_batch_and_memory_together_give_the_distance_of_all(p, rng):
    codes = np.round(rng.normal(size=(65, 8)), 1).astype("float32")
    loss = HashSlicedWasserstein(p=p)
    first = loss.call(None, codes[:24], with_empty_rows(codes[24:], 50))
    rest = loss.call(None, codes[24:], with_empty_rows(codes[:24], 24))
    both = np.concatenate([ops.convert_to_numpy(first), ops.convert_to_numpy(rest)])
    np.testing.assert_allclose(both.mean(), transport_of_pot(codes, p), rtol=1e-5)


def test_gradient_with_a_memory_equals_finite_difference(rng, value_and_gradient):
    codes = rng.normal(size=(15, 4)).astype("float32")
    older = rng.normal(size=(20, 4)).astype("float32")
    memory = with_empty_rows(older, 32)
    loss = HashSlicedWasserstein()
    _, gradient = value_and_gradient(lambda u: ops.mean(loss.call(None, u, memory)), codes)
    step = 1e-6
    expected = np.zeros(codes.shape)
    for index in np.ndindex(*codes.shape):
        up, down = codes.astype("float64"), codes.astype("float64")
        up[index] += step
        down[index] -= step
        difference = own_part_of_pot(up, older, *COIN) - own_part_of_pot(down, older, *COIN)
        expected[index] = difference / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)
