"""Methods against plain NumPy versions of their papers' formulas."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing import losses, methods
from keras_hashing.methods.discrete_coordinate_descent import discrete_coordinate_descent

ONE_HOT = np.eye(4, dtype="float32")[[0, 2, 1, 3, 3, 0]]
MULTI_HOT = np.array(
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1], [0, 1, 0, 1]], "float32"
)


def numpy(x):
    return ops.convert_to_numpy(x)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def greedy_hash(method, labels, codes):
    logits = np.where(codes > 0, 1.0, -1.0) @ numpy(method.classifier)
    return -(labels * log_softmax(logits)).sum(axis=1)


def csq(method, labels, codes):
    centres, tie_code = numpy(method.centres), numpy(method.tie_code)
    votes = np.array([sum(centres[c] for c in np.flatnonzero(row)) for row in labels])
    centre = np.where(votes > 0, 1, np.where(votes < 0, 0, (1 + tie_code) / 2))
    h = (1 + np.tanh(codes)) / 2
    return -(centre * np.log(h) + (1 - centre) * np.log(1 - h)).mean(axis=1)


def ortho_hash(method, labels, codes):
    targets = numpy(method.targets)
    cosines = codes @ targets.T
    cosines /= np.outer(np.linalg.norm(codes, axis=1), np.linalg.norm(targets, axis=1))
    scale = method.scale or np.sqrt(codes.shape[1])
    log_probabilities = log_softmax(scale * (cosines - method.margin * labels))
    return -(labels / labels.sum(axis=1, keepdims=True) * log_probabilities).sum(axis=1)


CASES = {
    "greedyhash": (greedy_hash, methods.GreedyHash(8, 4), ONE_HOT),
    "csq": (csq, methods.CSQ(8, 4), ONE_HOT),
    "csq-multi": (csq, methods.CSQ(8, 4, seed=3), MULTI_HOT),
    "csq-random-centres": (csq, methods.CSQ(8, 20), np.eye(20, dtype="float32")[:6]),
    "orthohash": (ortho_hash, methods.OrthoHash(8, 4), ONE_HOT),
    "orthohash-multi": (ortho_hash, methods.OrthoHash(8, 4, margin=0.5, scale=3.0), MULTI_HOT),
}


@pytest.mark.parametrize("case", CASES)
def test_value_equals_the_formula_of_the_paper(case, rng):
    formula, method, labels = CASES[case]
    codes = rng.normal(size=(6, 8))
    values = numpy(method(labels, codes.astype("float32")))
    np.testing.assert_allclose(values, formula(method, labels, codes), rtol=1e-4)


@pytest.mark.parametrize("case", [case for case in CASES if case != "greedyhash"])
def test_gradient_equals_finite_difference(case, rng, value_and_gradient):
    formula, method, labels = CASES[case]
    codes = rng.normal(size=(6, 8))
    _, gradient = value_and_gradient(lambda u: ops.mean(method(labels, u)), codes.astype("float32"))
    step = 1e-6
    for index in [(0, 0), (3, 5), (5, 7)]:
        up, down = codes.copy(), codes.copy()
        up[index] += step
        down[index] -= step
        slope = (formula(method, labels, up) - formula(method, labels, down)).mean() / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=2e-3, atol=1e-6)


def test_gradient_of_greedy_hash_is_that_of_the_binary_code(rng, value_and_gradient):
    method = methods.GreedyHash(8, 4)
    codes = rng.normal(size=(6, 8)).astype("float32")
    _, gradient = value_and_gradient(lambda u: ops.sum(method(ONE_HOT, u)), codes)
    classifier = numpy(method.classifier)
    signs = np.where(codes > 0, 1.0, -1.0)
    expected = (np.exp(log_softmax(signs @ classifier)) - ONE_HOT) @ classifier.T
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", methods.available())
def test_every_method_gives_a_value_a_sample_and_shows_what_is_not_finite(name, rng):
    method = methods.get(name, bits=8, num_classes=4)
    codes = rng.normal(size=(6, 8)).astype("float32")
    values = numpy(method(ONE_HOT, codes))
    assert values.shape == (6,)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert np.isfinite(numpy(method(ONE_HOT[:1], codes[:1]))).all()
    assert numpy(method(ONE_HOT, 1e4 * codes)).max() < np.inf
    for bad in (np.nan, np.inf):
        bad_codes, bad_labels = codes.copy(), ONE_HOT.copy()
        bad_codes[1, 1] = bad_labels[2, 0] = bad
        assert not np.isfinite(numpy(method(ONE_HOT, bad_codes))[1])
        assert not np.isfinite(numpy(method(bad_labels, codes))[2])


@pytest.mark.parametrize("name", methods.available())
def test_multi_hot_labels_have_a_loss_or_are_refused(name, rng):
    method = methods.get(name, bits=8, num_classes=4)
    values = numpy(method(MULTI_HOT, rng.normal(size=(6, 8)).astype("float32")))
    if name == "greedyhash":
        several = MULTI_HOT.sum(axis=1) > 1
        assert np.isnan(values[several]).all()
        assert np.isfinite(values[~several]).all()
        with pytest.raises(ValueError, match=r"one label per image: the paper.*4 images"):
            method.check_kind_of_labels(MULTI_HOT)
    else:
        assert np.isfinite(values).all()
        method.check_kind_of_labels(MULTI_HOT)
    method.check_kind_of_labels(ONE_HOT)
    method.check_kind_of_labels(0.9 * ONE_HOT + np.float32(0.1) / 4)  # smoothed


def test_orthohash_sees_no_length_and_a_zero_code_has_an_ordinary_gradient(rng, value_and_gradient):
    method = methods.get("orthohash", bits=8, num_classes=4)
    codes = rng.normal(size=(6, 8)).astype("float32")
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    value, gradient = value_and_gradient(lambda u: ops.sum(method(ONE_HOT, u)), codes)
    for scale in (1e-30, 1e20):
        scaled = np.float32(scale) * codes
        np.testing.assert_allclose(numpy(method(ONE_HOT, scaled)).sum(), value, rtol=1e-5)
    _, at_zero = value_and_gradient(lambda u: ops.sum(method(ONE_HOT, u)), 0 * codes)
    assert 0 < np.abs(at_zero).max() < 3 * np.abs(gradient).max()


@pytest.mark.parametrize("name", ["csq", "orthohash"])
def test_an_image_without_a_label_has_no_target(name, rng, value_and_gradient):
    method = methods.get(name, bits=8, num_classes=4)
    labels = np.zeros((2, 4), "float32")
    codes = rng.normal(size=(2, 8)).astype("float32")
    value, gradient = value_and_gradient(lambda u: ops.sum(method(labels, u)), codes)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("name", methods.available())
def test_every_method_serialises(name):
    method = methods.get(name, bits=8, num_classes=4)
    config = keras.saving.serialize_keras_object(method)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == method.get_config()


def test_options_may_follow_a_name():
    method = methods.get("dsdh:eta=3:window=1000", bits=8, num_classes=4, memory_size=5)
    assert (method.eta, method.window, method.memory_size) == (3, 1000, 5)
    assert (
        methods.get("hashnet:memory_size=7", bits=8, num_classes=4, memory_size=0).memory_size == 7
    )
    for text, message in {
        "dsdh:etta=3": "DSDH has no option `etta`; it has 'memory_size', 'eta', .*'window' and",
        "dsdh:bits=16": "no option `bits`",
        "itq:memory_size=5": "ITQ has no option `memory_size`; it has none",
        "dsdh:eta": "as in 'dsdh:eta=3:window=1000'",
        "dsdh:eta=1:eta=2": "each once",
        "dsdh:eta=-1": "`eta` must",
        "dsch:eta=1": "`method` must be one of",
    }.items():
        with pytest.raises(ValueError, match=message):
            methods.get(text, bits=8, num_classes=4)


def test_arguments_are_checked():
    for name in ("csq", "dsdh", "greedyhash", "orthohash"):
        with pytest.raises(ValueError, match="`num_classes` must be given"):
            methods.get(name, bits=8)
    for name in ("csq", "greedyhash", "orthohash"):
        with pytest.raises(ValueError, match="`memory_size` must be 0.*compares no pairs"):
            methods.get(name, bits=8, num_classes=4, memory_size=5)
    with pytest.raises(ValueError, match="70 balanced codes"):
        methods.CSQ(8, 100)
    with pytest.raises(ValueError, match="`gamma` must be positive"):
        methods.DCH(8, gamma=0)
    with pytest.raises(ValueError, match="`margin` must be a finite number of at least 0"):
        methods.OrthoHash(8, 4, margin=-1)
    with pytest.raises(ValueError, match="`scale` must be positive"):
        methods.OrthoHash(8, 4, scale=0)
    with pytest.raises(ValueError, match="`eta` must be a finite number of at least 0"):
        methods.DSDH(8, 4, eta=-1)
    for option in ("eta_over_mu", "nu_over_mu", "window", "sweeps"):
        for value in (0, True):
            with pytest.raises(ValueError, match=f"`{option}` must be (a )?positive"):
                methods.DSDH(8, 4, **{option: value})


# DSDH


@pytest.fixture
def dsdh(rng):
    """DSDH whose classifier is not zero, and a batch."""
    method = methods.DSDH(8, 4, eta_over_mu=0.3, window=6, sweeps=50)
    method.classifier.assign(rng.normal(size=(8, 4)))
    return method, rng.normal(size=(6, 8)).astype("float32")


def train_step(method, codes):
    """B of a batch, which a training step fits W to afterwards."""
    binary = numpy(method.native_targets(ONE_HOT, ops.convert_to_tensor(codes)))
    method(ONE_HOT, codes, training=True)
    return binary


def objective_of_b(method, labels, codes, binary):
    """‖y - Wᵀb‖² + η/μ ‖b - u‖² of each row: the paper's terms in B, over μ."""
    residual = labels - binary @ numpy(method.classifier)
    return (residual**2).sum(axis=-1) + method.eta_over_mu * ((binary - codes) ** 2).sum(axis=-1)


def best_by_brute_force(method, labels, codes):
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=codes.shape[1])))
    return np.array(
        [
            objective_of_b(method, label[None], code[None], every).min()
            for label, code in zip(labels, codes, strict=True)
        ]
    )


def test_binary_codes_are_a_coordinate_wise_optimum_no_worse_than_the_sign(dsdh):
    method, codes = dsdh
    binary = numpy(method.binary_codes(ops.convert_to_tensor(MULTI_HOT), codes))
    assert set(np.unique(binary)) == {-1.0, 1.0}
    value = objective_of_b(method, MULTI_HOT, codes, binary)
    for k in range(8):
        flipped = binary.copy()
        flipped[:, k] *= -1
        assert (objective_of_b(method, MULTI_HOT, codes, flipped) >= value - 1e-4).all()
    assert (value <= objective_of_b(method, MULTI_HOT, codes, np.where(codes > 0, 1, -1))).all()


def test_binary_codes_are_often_the_best_of_all(rng):
    reached = []
    for _ in range(20):
        method = methods.DSDH(8, 4, eta_over_mu=0.3)
        method.classifier.assign(0.2 * rng.normal(size=(8, 4)))
        codes = rng.normal(size=(6, 8)).astype("float32")
        binary = numpy(method.binary_codes(ops.convert_to_tensor(MULTI_HOT), codes))
        value = objective_of_b(method, MULTI_HOT, codes, binary)
        best = best_by_brute_force(method, MULTI_HOT, codes)
        assert (value >= best - 1e-4).all()
        reached.extend(value <= best + 1e-4)
    assert np.mean(reached) > 0.75  # coordinate descent promises a local optimum only


def test_descent_reaches_the_global_optimum_where_the_bits_do_not_interact(rng):
    linear = rng.normal(size=(5, 8)).astype("float32")
    quadratic = np.diag(rng.normal(size=8)).astype("float32")
    start = rng.choice([-1.0, 1.0], (5, 8)).astype("float32")
    found = discrete_coordinate_descent(*map(ops.convert_to_tensor, (quadratic, linear, start)), 1)
    np.testing.assert_array_equal(numpy(found), np.sign(linear))


def test_descent_stops_after_the_given_sweeps(rng):
    factor = rng.normal(size=(16, 3)).astype("float32")
    arguments = factor @ factor.T, rng.normal(size=(40, 16)), rng.choice([-1.0, 1.0], (40, 16))
    quadratic, linear, start = (ops.convert_to_tensor(x, dtype="float32") for x in arguments)

    def values(sweeps):
        b = numpy(discrete_coordinate_descent(quadratic, linear, start, sweeps))
        return np.einsum("ik,kl,il->i", b, arguments[0], b) - 2 * (b * arguments[1]).sum(axis=1)

    rounds = [values(sweeps) for sweeps in (1, 2, 3, 30)]
    for earlier, later in itertools.pairwise(rounds):
        assert (later <= earlier + 1e-3).all()
    assert rounds[0].sum() > rounds[-1].sum()


def test_classifier_is_the_ridge_regression_of_the_window(dsdh):
    method, codes = dsdh
    binary = train_step(method, codes)
    ridge = method.nu_over_mu * np.eye(8)
    expected = np.linalg.solve(binary.T @ binary + ridge, binary.T @ ONE_HOT)
    np.testing.assert_allclose(numpy(method.classifier), expected, rtol=1e-3, atol=1e-4)

    longer = methods.DSDH(8, 4, window=24)
    first, second = train_step(longer, codes), train_step(longer, -codes)
    products = 0.75 * first.T @ first + second.T @ second
    np.testing.assert_allclose(numpy(longer.code_products), products, rtol=1e-5)
    moments = 0.75 * first.T @ ONE_HOT + second.T @ ONE_HOT
    expected = np.linalg.solve(products + longer.nu_over_mu * np.eye(8), moments)
    np.testing.assert_allclose(numpy(longer.classifier), expected, rtol=1e-3, atol=1e-4)


def test_alternation_lowers_the_papers_objective_of_b_and_w(rng):
    method = methods.DSDH(8, 4, eta_over_mu=0.05, window=1)
    codes = rng.normal(size=(6, 8)).astype("float32")
    values = []
    for _ in range(6):
        binary = train_step(method, codes)
        ridge = method.nu_over_mu * (numpy(method.classifier) ** 2).sum()
        values.append(objective_of_b(method, ONE_HOT, codes, binary).sum() + ridge)
    assert (np.diff(values) <= 1e-4).all()


def test_binary_codes_reach_the_gradient_of_the_network(dsdh, value_and_gradient):
    method, codes = dsdh
    binary = numpy(method.binary_codes(ops.convert_to_tensor(MULTI_HOT), codes))
    assert (binary != np.where(codes > 0, 1, -1)).any()  # the labels have moved some bits

    def pull(u):
        targets = method.native_targets(MULTI_HOT, u)
        return ops.sum(method.native_quantization().call(targets, u))

    value, gradient = value_and_gradient(pull, codes)
    np.testing.assert_allclose(value, ((binary - codes) ** 2).sum() / 8, rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * (codes - binary) / 8, rtol=1e-4, atol=1e-6)


def test_objective_is_the_likelihood_and_the_pull_to_the_binary_codes(dsdh, value_and_gradient):
    method, codes = dsdh
    binary = numpy(method.binary_codes(ops.convert_to_tensor(MULTI_HOT), codes))
    value, gradient = value_and_gradient(lambda u: ops.sum(method(MULTI_HOT, u)), codes)
    likelihood, likelihood_gradient = value_and_gradient(
        lambda u: ops.sum(losses.DPSH().call(MULTI_HOT, u)), codes
    )
    expected = likelihood + method.eta * ((binary - codes) ** 2).mean(axis=1).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    pull = 2 * method.eta * (codes - binary) / 8
    np.testing.assert_allclose(gradient, likelihood_gradient + pull, rtol=1e-4, atol=1e-5)


def test_dsdh_without_its_pull_is_dpsh(dsdh):
    method, codes = dsdh
    method.eta = 0.0
    expected = numpy(losses.DPSH().call(MULTI_HOT, ops.convert_to_tensor(codes)))
    np.testing.assert_allclose(numpy(method(MULTI_HOT, codes)), expected, rtol=1e-5)
