import keras
import numpy as np
import ot
import pytest
from keras import ops

from keras_hashing.losses import (
    CauchyDistance,
    CubicDistance,
    HashSlicedWasserstein,
    HashSlicedWassersteinPairs,
    LogCoshDistance,
    OptimalTransport,
    SignDistance,
    SlicedWasserstein,
)
from keras_hashing.losses import quantization as quantization_losses

SAMPLED = [SlicedWasserstein(num_projections=64), OptimalTransport()]
PAIRS = HashSlicedWassersteinPairs(pairs_weight=0.7, seed=3)
NATIVE = [SignDistance(), LogCoshDistance(), CubicDistance(), CauchyDistance(gamma=3.0)]
EVERY = [HashSlicedWasserstein(p=1), PAIRS, *NATIVE, *SAMPLED]


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("samples", [1, 24, 33])
def test_sliced_wasserstein_equals_pot_with_the_same_directions_and_targets(p, samples, rng):
    codes = rng.normal(size=(samples, 16)).astype("float32")
    loss = SlicedWasserstein(num_projections=50, seed=3, p=p)
    directions, targets = map(numpy, loss.draw(ops.convert_to_tensor(codes)))
    expected = ot.sliced_wasserstein_distance(
        codes.astype("float64"), targets.astype("float64"), projections=directions, p=p
    )
    np.testing.assert_allclose(float(loss(codes, codes)), expected**p, rtol=1e-4)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("samples", [1, 24, 33])
def test_optimal_transport_equals_pot_with_the_same_targets(p, samples, rng):
    codes = rng.normal(size=(samples, 16)).astype("float32")
    loss = OptimalTransport(seed=3, p=p)
    targets = numpy(loss.draw(ops.convert_to_tensor(codes)))
    cost = (np.abs(codes[:, None] - targets[None]).astype("float64") ** p).mean(axis=-1)
    np.testing.assert_allclose(float(loss(codes, codes)), ot.emd2([], [], cost), rtol=1e-5)


def test_directions_have_length_one_and_targets_are_fair_signs(rng):
    codes = ops.convert_to_tensor(rng.normal(size=(500, 16)).astype("float32"))
    directions, targets = map(numpy, SlicedWasserstein(num_projections=40).draw(codes))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-5)
    assert set(np.unique(targets)) == {-1.0, 1.0}
    assert np.abs(targets.mean(axis=0)).max() < 0.2


@pytest.mark.parametrize("loss", SAMPLED, ids=lambda loss: loss.name)
def test_sampled_losses_repeat_for_a_seed_and_a_batch_in_any_order(loss, rng):
    codes = rng.normal(size=(24, 16)).astype("float32")
    shuffled = rng.permutation(codes)
    again = type(loss).from_config(loss.get_config())
    other = type(loss).from_config({**loss.get_config(), "seed": 99})
    value = float(loss(codes, codes))
    assert float(again(codes, codes)) == value
    np.testing.assert_allclose(float(again(shuffled, shuffled)), value, rtol=1e-5)
    assert float(other(codes, codes)) != value


@pytest.mark.parametrize("loss", SAMPLED, ids=lambda loss: loss.name)
def test_sampled_losses_draw_anew_for_another_batch(loss, rng):
    first = ops.convert_to_tensor(rng.normal(size=(24, 16)).astype("float32"))
    second = first + 1e-6
    draw = (lambda u: loss.draw(u)[1]) if isinstance(loss, SlicedWasserstein) else loss.draw
    assert (numpy(draw(first)) != numpy(draw(second))).any()


@pytest.mark.parametrize("loss", SAMPLED, ids=lambda loss: loss.name)
def test_gradient_of_sampled_losses_equals_finite_difference(loss, rng, value_and_gradient):
    codes = rng.normal(size=(12, 8)).astype("float32")
    fixed = ops.convert_to_tensor(codes)
    frozen = type(loss).from_config(loss.get_config())
    frozen.draw = lambda batch: loss.draw(fixed)  # the same draw on both sides
    _, gradient = value_and_gradient(lambda u: frozen(u, u), codes)
    step = 1e-2
    for index in [(0, 0), (5, 3), (11, 7)]:
        up, down = codes.copy(), codes.copy()
        up[index] += step
        down[index] -= step
        slope = (float(frozen(up, up)) - float(frozen(down, down))) / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=0.1, atol=2e-3)


def formula(loss, u):
    """The penalty of the method's paper, as a mean over bits where the paper sums."""
    bits = u.shape[1]
    if isinstance(loss, SignDistance):
        return ((u - np.where(u > 0, 1, -1)) ** 2).mean(axis=1)
    if isinstance(loss, LogCoshDistance):
        return np.log(np.cosh(np.abs(u) - 1)).mean(axis=1)
    if isinstance(loss, CubicDistance):
        return (np.abs(np.abs(u) - 1) ** 3).mean(axis=1)
    cosine = np.abs(u).sum(axis=1) / np.linalg.norm(u, axis=1) / np.sqrt(bits)
    return np.log(1 + bits / 2 * (1 - cosine) / loss.gamma)


@pytest.mark.parametrize("loss", NATIVE, ids=lambda loss: loss.name)
def test_native_penalty_equals_the_formula_of_its_paper(loss, rng, value_and_gradient):
    codes = rng.normal(size=(9, 16))
    values = numpy(loss.call(None, ops.convert_to_tensor(codes.astype("float32"))))
    np.testing.assert_allclose(values, formula(loss, codes), rtol=1e-4, atol=1e-6)
    _, gradient = value_and_gradient(lambda u: loss(u, u), codes.astype("float32"))
    step = 1e-6
    for index in [(0, 0), (4, 9), (8, 15)]:
        up, down = codes.copy(), codes.copy()
        up[index] += step
        down[index] -= step
        slope = (formula(loss, up) - formula(loss, down)).mean() / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", NATIVE, ids=lambda loss: loss.name)
def test_native_penalty_of_binary_codes_is_zero_with_a_finite_gradient(
    loss, rng, value_and_gradient
):
    codes = rng.choice([-1.0, 1.0], (9, 16)).astype("float32")
    value, gradient = value_and_gradient(lambda u: loss(u, u), codes)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert np.isfinite(gradient).all()
    value, gradient = value_and_gradient(lambda u: loss(u, u), 0 * codes)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", NATIVE, ids=lambda loss: loss.name)
def test_value_of_exactly_zero_is_bit_0_and_drawn_to_minus_one(loss, value_and_gradient):
    codes = np.array([[0.0, 1.0, -1.0, 0.7], [0.0, 0.0, 0.0, 0.0]], "float32")
    _, gradient = value_and_gradient(lambda u: loss(u, u), codes)
    below = codes - np.float32(1e-3) * (codes == 0)  # what the limit from the side of bit 0 says
    _, expected = value_and_gradient(lambda u: loss(u, u), below)
    np.testing.assert_allclose(gradient[0], expected[0], rtol=2e-2, atol=1e-3)
    assert (gradient[codes == 0] > 0.001).all()


@pytest.mark.parametrize(
    "loss", [HashSlicedWasserstein(p=1), OptimalTransport(p=1)], ids=lambda loss: loss.name
)
def test_value_on_its_target_is_not_moved(loss, value_and_gradient):
    binary = np.tile([[1.0], [-1.0]], (4, 6)).astype("float32")
    if isinstance(loss, OptimalTransport):
        loss.draw = lambda batch: ops.convert_to_tensor(binary)
    value, gradient = value_and_gradient(lambda u: loss(u, u), binary)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_tied_median_on_a_target_is_drawn_by_the_other_half_of_its_mass(value_and_gradient):
    # All are +1: half of each sample's mass belongs to -1, the other half is where it should be.
    loss, codes = HashSlicedWasserstein(p=1), np.ones((4, 3), "float32")
    value, gradient = value_and_gradient(lambda u: loss(u, u), codes)
    np.testing.assert_allclose(value, 1.0)
    np.testing.assert_allclose(gradient, 0.5 / codes.size)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e10, 1e20, 1e30])
def test_cosine_does_not_see_the_length_of_a_code(scale, rng, value_and_gradient):
    loss, codes = CauchyDistance(), rng.normal(size=(9, 16)).astype("float32")
    value, gradient = value_and_gradient(lambda u: loss(u, u), codes)
    scaled, scaled_gradient = value_and_gradient(lambda u: loss(u, u), np.float32(scale) * codes)
    np.testing.assert_allclose(scaled, value, rtol=1e-4)
    np.testing.assert_allclose(scaled_gradient * np.float32(scale), gradient, rtol=1e-2, atol=1e-6)


def test_log_cosh_is_csqs_quantization_in_its_own_letters(rng):
    codes = rng.normal(size=(9, 16))
    h = 1 / (1 + np.exp(-2 * codes))
    expected = np.log(np.cosh(np.abs(2 * h - 1) - 1)).mean()
    relaxed = np.tanh(codes).astype("float32")
    np.testing.assert_allclose(float(LogCoshDistance()(relaxed, relaxed)), expected, rtol=1e-4)


def test_log_cosh_of_large_codes_does_not_overflow():
    codes = np.full((2, 8), 1e6, "float32")
    np.testing.assert_allclose(float(LogCoshDistance()(codes, codes)), 1e6, rtol=1e-5)


def test_sign_distance_is_the_squared_distance_to_the_sign(rng):
    codes = rng.normal(size=(24, 16)).astype("float32")
    signs = np.where(codes > 0, 1.0, -1.0)
    expected = ((codes - signs) ** 2).mean()
    np.testing.assert_allclose(float(SignDistance()(codes, codes)), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.name)
def test_one_value_a_sample_and_defined_for_one_sample_and_for_none(loss, rng):
    codes = rng.normal(size=(9, 8)).astype("float32")
    assert loss.call(None, ops.convert_to_tensor(codes)).shape == (9,)
    assert np.isfinite(float(loss(codes[:1], codes[:1])))
    assert loss.call(None, ops.convert_to_tensor(codes[:0])).shape == (0,)


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.name)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_code_gives_non_finite_loss(loss, bad, rng):
    codes = rng.normal(size=(9, 8)).astype("float32")
    codes[2, 3] = bad
    assert not np.isfinite(float(loss(codes, codes)))


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.name)
def test_serialises(loss, rng):
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config()
    codes = rng.normal(size=(9, 8)).astype("float32")
    assert float(again(codes, codes)) == float(loss(codes, codes))


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.name)
def test_survives_save_and_reload_of_a_compiled_model(loss, tmp_path, rng):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8)])
    model.compile("sgd", loss=loss, jit_compile=False)
    x, y = rng.normal(size=(16, 5)).astype("float32"), np.zeros((16, 8))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), expected, rtol=1e-5)


def test_names_give_losses():
    assert isinstance(quantization_losses.get("hswd"), HashSlicedWasserstein)
    assert isinstance(quantization_losses.get("hswd-pairs"), HashSlicedWassersteinPairs)
    assert isinstance(quantization_losses.get("swd"), SlicedWasserstein)
    assert isinstance(quantization_losses.get("ot"), OptimalTransport)
    assert isinstance(quantization_losses.get("sign"), SignDistance)
    assert quantization_losses.get("none") is None
    assert quantization_losses.get(None) is None


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"hswd.*Received: quantization='hsdw'"):
        quantization_losses.get("hsdw")


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="`num_projections` must be a positive"):
        SlicedWasserstein(num_projections=0)
    for kind in (HashSlicedWasserstein, SlicedWasserstein, OptimalTransport):
        for p in (3, True):
            with pytest.raises(ValueError, match=f"`p` must be 1 or 2. Received: p={p}"):
                kind(p=p)
    for gamma in (0, True, np.inf, "20"):
        with pytest.raises(ValueError, match="`gamma` must be positive"):
            CauchyDistance(gamma=gamma)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX calls the host from XLA")
def test_optimal_transport_inside_xla_says_what_to_do(rng):
    import tensorflow as tf

    loss = OptimalTransport()
    compiled = tf.function(lambda u: loss(u, u), jit_compile=True)
    with pytest.raises(ValueError, match="compile the model with jit_compile=False"):
        compiled(tf.constant(rng.normal(size=(8, 8)).astype("float32")))
