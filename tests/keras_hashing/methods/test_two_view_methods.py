"""Methods without labels that compare two views, against plain NumPy versions of their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing import methods


def numpy(x):
    return ops.convert_to_numpy(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def nt_xent(z, temperature):
    """Loops over the anchors and their partners, as the formula is written."""
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    batch = len(z) // 2
    values = []
    for i in range(2 * batch):
        similarity = {k: z[i] @ z[k] / temperature for k in range(2 * batch) if k != i}
        positive = similarity[(i + batch) % (2 * batch)]
        values.append(-np.log(np.exp(positive) / np.sum(np.exp(list(similarity.values())))))
    return np.array(values)


def other_view(rows):
    return np.roll(rows, len(rows) // 2, axis=0)


def ntxent(method, codes):
    return nt_xent(np.tanh(codes), method.temperature)


def cibhash(method, codes, other=None):
    p, q = sigmoid(codes), sigmoid(other_view(codes if other is None else other))
    divergence = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1)
    return nt_xent(np.where(codes > 0, 1.0, -1.0), method.temperature) + method.beta * divergence


def crovca(method, codes):
    bits = other_view(codes) > 0
    cross_entropy = -np.where(bits, np.log(sigmoid(codes)), np.log(sigmoid(-codes))).mean(axis=1)
    rates = []
    for view in np.split(codes, 2):
        n, k = view.shape
        z = view / np.linalg.norm(view, axis=1, keepdims=True)
        sign, log_det = np.linalg.slogdet(np.eye(k) + k / (n * method.epsilon) * z.T @ z)
        assert sign == 1
        rates.append(np.full(n, (k + n) / (k * n) * log_det / 2))
    return cross_entropy - method.rate_weight * np.concatenate(rates)


CASES = {
    "ntxent": (ntxent, methods.NTXent(8)),
    "ntxent-0.5": (ntxent, methods.NTXent(8, temperature=0.5)),
    "cibhash": (cibhash, methods.CIBHash(8, beta=0.5)),
    "crovca": (crovca, methods.CroVCA(8)),
    "crovca-rate": (crovca, methods.CroVCA(8, rate_weight=2.0, epsilon=0.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_value_equals_the_formula_of_the_paper(case, rng):
    formula, method = CASES[case]
    for batch in (1, 5, 12):  # fewer and more images than bits
        codes = rng.normal(size=(2 * batch, 8))
        values = numpy(method(None, codes.astype("float32")))
        np.testing.assert_allclose(values, formula(method, codes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case != "cibhash"])
def test_gradient_equals_finite_difference(case, rng, value_and_gradient):
    formula, method = CASES[case]
    codes = rng.normal(size=(10, 8))
    check_gradient(method, lambda u: formula(method, u), codes, value_and_gradient)


def check_gradient(method, formula, codes, value_and_gradient):
    _, gradient = value_and_gradient(lambda u: ops.sum(method(None, u)), codes.astype("float32"))
    step = 1e-6
    for index in [(0, 0), (3, 5), (7, 7), (9, 2)]:
        up, down = codes.copy(), codes.copy()
        up[index] += step
        down[index] -= step
        slope = (formula(up) - formula(down)).sum() / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=2e-3, atol=1e-5)


def test_gradient_of_cibhash_goes_through_the_probability(rng, value_and_gradient):
    """∂b/∂p = 1, ∂p/∂u = p (1 - p); the other view of the divergence takes none."""
    method = methods.CIBHash(8, beta=0.5)
    codes = rng.normal(size=(10, 8))
    # With codes held at b0, a function whose slope at u is that of the straight-through estimator.
    b0, p0 = np.where(codes > 0, 1.0, -1.0), sigmoid(codes)

    def formula(u):
        contrastive = nt_xent(b0 + sigmoid(u) - p0, method.temperature)
        divergence = cibhash(method, u, codes) - cibhash(methods.CIBHash(8, beta=0), u)
        return contrastive + divergence

    check_gradient(method, formula, codes, value_and_gradient)


def test_cibhash_reads_the_bit_of_the_smallest_code(rng):
    """σ(u) - 1/2 is 0 in float32 for such a code; its bit is 1 all the same."""
    codes = np.full((2, 8), 1e-12, "float32")
    codes[1] = -1e-12
    opposite = numpy(methods.CIBHash(8)._binary_code(ops.convert_to_tensor(codes)))
    np.testing.assert_array_equal(opposite, np.sign(codes))


def test_coding_rate_is_largest_for_codes_that_fill_all_directions(rng):
    method = methods.CroVCA(8)
    apart = np.eye(8, dtype="float32")
    rates = [float(method.coding_rate(ops.convert_to_tensor(u))) for u in (apart, apart * 0 + 1)]
    assert rates[0] > 3 * rates[1] > 0


def test_views_that_agree_cost_less(rng):
    first = rng.normal(size=(16, 8)).astype("float32")
    for name in ("cibhash", "crovca", "ntxent"):
        method = methods.get(name, bits=8)
        agreeing = numpy(method(None, np.concatenate([first, first]))).mean()
        shuffled = numpy(method(None, np.concatenate([first, np.roll(first, 1, axis=0)]))).mean()
        assert agreeing < shuffled


@pytest.mark.parametrize("name", ["cibhash", "crovca", "ntxent"])
def test_rows_that_are_not_finite_are_shown_and_large_codes_are_not(name, rng):
    method = methods.get(name, bits=8)
    codes = rng.normal(size=(6, 8)).astype("float32")
    assert np.isfinite(numpy(method(None, 1e4 * codes))).all()
    for bad in (np.nan, np.inf):
        bad_codes = codes.copy()
        bad_codes[1, 1] = bad
        assert not np.isfinite(numpy(method(None, bad_codes))[1])


@pytest.mark.parametrize("name", methods.available(labels=False))
def test_every_method_serialises(name):
    method = methods.get(name, bits=8)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert type(again) is type(method)
    assert again.get_config() == method.get_config()
    assert not method.needs_labels


def test_arguments_are_checked():
    for name in ("cibhash", "ntxent"):
        with pytest.raises(ValueError, match="`temperature` must be positive"):
            methods.get(name, bits=8, temperature=0)
    with pytest.raises(ValueError, match="`beta` must be a finite number of at least 0"):
        methods.CIBHash(8, beta=-1)
    with pytest.raises(ValueError, match="`rate_weight` must be a finite number of at least 0"):
        methods.CroVCA(8, rate_weight=-1)
    with pytest.raises(ValueError, match="`epsilon` must be positive"):
        methods.CroVCA(8, epsilon=0)
    with pytest.raises(ValueError, match=r"even number of rows. Received: codes.shape=\(3, 8\)"):
        methods.NTXent(8)(None, np.ones((3, 8), "float32"))
