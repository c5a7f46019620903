import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing.losses import DCH, DHN, DPSH, HashingLoss, HashNet, HashSlicedWasserstein

OBJECTIVES = [
    DPSH(),
    DHN(),
    HashNet(),
    HashNet(alpha=0.3, beta=2.0),
    DCH(),
    DCH(gamma=3.0),
]
MULTI_HOT = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 1, 1]], "float32")


def name_of(objective):
    return f"{objective.name}-{getattr(objective, 'beta', getattr(objective, 'gamma', ''))}"


def pair_by_pair(objective, labels, codes):
    """The objective from its paper's sum over ordered pairs i ≠ j, one pair at a time."""
    n, bits = codes.shape
    similar = {(i, j): labels[i] @ labels[j] > 0 for i in range(n) for j in range(n) if i != j}
    total = 0.0
    for (i, j), s in similar.items():
        weight = 1.0
        if isinstance(objective, HashNet | DCH):
            weight = len(similar) / sum(t == s for t in similar.values())
        if isinstance(objective, DCH):
            v, gamma = np.tanh(codes), objective.gamma
            cosine = v[i] @ v[j] / np.linalg.norm(v[i]) / np.linalg.norm(v[j])
            distance = bits / 2 * (1 - cosine)
            total += weight * (s * np.log(distance / gamma) + np.log(1 + gamma / distance))
            continue
        if isinstance(objective, HashNet):
            v = np.tanh(objective.beta * codes)
            theta = (objective.alpha or 10 / bits) * (v[i] @ v[j])
        else:
            u = np.tanh(codes) if isinstance(objective, DHN) else codes
            theta = u[i] @ u[j] / 2
        total += weight * (np.log1p(np.exp(theta)) - s * theta)
    return total / len(similar)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_value_equals_the_sum_over_pairs_of_the_paper(objective, rng):
    codes = rng.normal(size=(6, 16))
    expected = pair_by_pair(objective, MULTI_HOT, codes)
    value = float(objective(MULTI_HOT, codes.astype("float32")))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_gradient_equals_finite_difference(objective, rng, value_and_gradient):
    codes = rng.normal(size=(6, 8))
    _, gradient = value_and_gradient(lambda u: objective(MULTI_HOT, u), codes.astype("float32"))
    step = 1e-5
    for index in [(0, 0), (3, 5), (5, 7)]:
        up, down = codes.copy(), codes.copy()
        up[index] += step
        down[index] -= step
        high = pair_by_pair(objective, MULTI_HOT, up)
        low = pair_by_pair(objective, MULTI_HOT, down)
        np.testing.assert_allclose(gradient[index], (high - low) / (2 * step), rtol=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_one_value_a_sample_and_a_batch_of_one_has_no_pair(objective, rng):
    codes = rng.normal(size=(6, 8)).astype("float32")
    assert objective.call(MULTI_HOT, ops.convert_to_tensor(codes)).shape == (6,)
    assert float(objective(MULTI_HOT[:1], codes[:1])) == 0.0
    assert objective.call(MULTI_HOT[:0], ops.convert_to_tensor(codes[:0])).shape == (0,)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_batches_of_one_kind_of_pair_are_finite(objective, rng):
    codes = rng.normal(size=(3, 8)).astype("float32")
    assert np.isfinite(float(objective(np.eye(3, dtype="float32"), codes)))
    assert np.isfinite(float(objective(np.tile(np.eye(3)[:1], (3, 1)), codes)))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_large_codes_do_not_overflow(objective, rng):
    codes = 1e4 * rng.normal(size=(6, 8)).astype("float32")
    assert np.isfinite(float(objective(MULTI_HOT, codes)))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_non_finite_codes_or_labels_give_a_non_finite_loss(objective, rng):
    codes = rng.normal(size=(6, 8)).astype("float32")
    bad_labels = MULTI_HOT.copy()
    bad_labels[2, 0] = np.nan
    assert not np.isfinite(float(objective(bad_labels, codes)))
    for bad in (np.nan, np.inf):
        bad_codes = codes.copy()
        bad_codes[1, 1] = bad
        assert not np.isfinite(float(objective(MULTI_HOT, bad_codes)))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_class_numbers_are_labels(objective, rng):
    codes = rng.normal(size=(6, 8)).astype("float32")
    numbers = np.array([0, 2, 2, 70_000, 2, 0])
    expected = float(objective((numbers[:, None] == np.unique(numbers)).astype("float32"), codes))
    for labels in (numbers, numbers[:, None], numbers.astype("float32")):
        np.testing.assert_allclose(float(objective(labels, codes)), expected, rtol=1e-6)
    for no_class in (-2, 0.5, np.nan):
        labels = np.where(np.arange(6) == 2, no_class, numbers)
        values = ops.convert_to_numpy(objective.call(labels, ops.convert_to_tensor(codes)))
        np.testing.assert_array_equal(np.isnan(values), np.arange(6) == 2)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_soft_pair_has_the_mean_loss_of_the_labels_drawn_from_it(objective, rng):
    codes = rng.normal(size=(2, 8)).astype("float32")
    soft = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]], "float32")
    drawn = {(i, j): soft[0, i] * soft[1, j] for i in range(3) for j in range(3)}
    expected = sum(
        share * float(objective(np.eye(3, dtype="float32")[list(labels)], codes))
        for labels, share in drawn.items()
    )
    # Balanced weights: each kind is half of S there, and all of it in a draw of one kind.
    kinds = 2 if isinstance(objective, HashNet | DCH) else 1
    np.testing.assert_allclose(float(objective(soft, codes)), kinds * expected, rtol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_smoothing_of_next_to_nothing_changes_next_to_nothing(objective, rng):
    codes = rng.normal(size=(6, 8)).astype("float32")
    labels = np.eye(3, dtype="float32")[[0, 1, 0, 2, 2, 1]]
    smoothed = (1 - 1e-5) * labels + np.float32(1e-5) / 3
    expected = float(objective(labels, codes))
    np.testing.assert_allclose(float(objective(smoothed, codes)), expected, rtol=1e-3)


@pytest.mark.parametrize("loss", [HashNet(), HashingLoss(DPSH())], ids=lambda loss: loss.name)
def test_negative_labels_and_labels_above_one_give_nan(loss, rng):
    codes = ops.convert_to_tensor(rng.normal(size=(6, 8)).astype("float32"))
    signs = 2 * np.eye(3, dtype="float32")[[0, 1, 0, 2, 2, 1]] - 1
    assert np.isnan(ops.convert_to_numpy(loss.call(signs, codes))).all()
    labels = MULTI_HOT.copy()
    labels[3, 2] = 2
    values = ops.convert_to_numpy(loss.call(labels, codes))
    np.testing.assert_array_equal(np.isnan(values), np.arange(6) == 3)


def test_similar_and_dissimilar_pairs_weigh_the_same_in_hashnet():
    labels = np.eye(2)[[0] * 2 + [1] * 14]
    codes = np.zeros((16, 8), "float32")
    # At θ = 0 each pair costs log 2: each kind's mean is log 2, and both kinds add up.
    np.testing.assert_allclose(float(HashNet()(labels, codes)), 2 * np.log(2), rtol=1e-6)


def test_dch_is_finite_where_dissimilar_codes_are_equal(value_and_gradient):
    codes = np.ones((4, 8), "float32")
    value, gradient = value_and_gradient(lambda u: DCH()(np.eye(4, dtype="float32"), u), codes)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    value, gradient = value_and_gradient(
        lambda u: DCH()(np.eye(4, dtype="float32"), u), np.zeros_like(codes)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_dch_sees_the_hamming_distance_of_binary_codes():
    codes = np.array([[9, 9, 9, 9], [9, 9, 9, -9]], "float32")  # tanh 9 is 1 in float32
    similar = float(DCH(gamma=2.0)(np.tile([[1.0, 0.0]], (2, 1)), codes))
    np.testing.assert_allclose(similar, np.log((2 + 1) / 2), rtol=1e-5)


def test_hashing_loss_adds_weighted_quantization_at_its_place(rng):
    codes = rng.normal(size=(6, 8)).astype("float32")
    similarity, hswd = HashNet(beta=1.5), HashSlicedWasserstein()
    raw = HashingLoss(similarity, hswd, quantization_weight=0.3, quantize="raw")
    relaxed = HashingLoss(similarity, hswd, quantization_weight=0.3, quantize="relaxed")
    base = float(similarity(MULTI_HOT, codes))
    v = np.tanh(1.5 * codes)
    np.testing.assert_allclose(
        float(raw(MULTI_HOT, codes)), base + 0.3 * float(hswd(codes, codes)), rtol=1e-5
    )
    np.testing.assert_allclose(
        float(relaxed(MULTI_HOT, codes)), base + 0.3 * float(hswd(v, v)), rtol=1e-5
    )
    assert float(HashingLoss(similarity, None)(MULTI_HOT, codes)) == pytest.approx(base)


def test_hashing_loss_keeps_sample_weights(rng):
    codes = rng.normal(size=(6, 8)).astype("float32")
    weights = np.array([0, 1, 2, 0, 1, 2], "float32")
    loss = HashingLoss(DPSH())
    values = ops.convert_to_numpy(loss.call(MULTI_HOT, ops.convert_to_tensor(codes)))
    weighted = float(loss(MULTI_HOT, codes, sample_weight=weights))
    np.testing.assert_allclose(weighted, np.mean(values * weights), rtol=1e-5)


def test_hashing_loss_refuses_bad_arguments():
    with pytest.raises(ValueError, match="`quantize` must be one of"):
        HashingLoss(DPSH(), quantize="binary")
    with pytest.raises(ValueError, match="`quantization_weight` must be a finite"):
        HashingLoss(DPSH(), quantization_weight=-1)
    with pytest.raises(ValueError, match="`similarity` must be a similarity objective"):
        HashingLoss("dpsh")
    with pytest.raises(ValueError, match="`alpha` must be positive"):
        HashNet(alpha=0)
    with pytest.raises(ValueError, match="`beta` must be positive"):
        HashNet(beta=-1)
    with pytest.raises(ValueError, match="`gamma` must be positive"):
        DCH(gamma=0)


@pytest.mark.parametrize(
    "loss",
    [
        DPSH(),
        DHN(),
        DCH(gamma=5.0),
        HashNet(alpha=0.2, beta=3.0),
        HashingLoss(HashNet(beta=2.0), "sign", 0.7, "relaxed"),
    ],
    ids=lambda loss: loss.name,
)
def test_objectives_train_save_and_reload_in_a_compiled_model(loss, tmp_path, blobs):
    images, labels = blobs
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(8))
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    history = model.fit(images, labels, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == loss.get_config()
    expected = model.evaluate(images, labels, verbose=0)
    np.testing.assert_allclose(again.evaluate(images, labels, verbose=0), expected, rtol=1e-5)
