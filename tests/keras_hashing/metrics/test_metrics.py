import keras
import numpy as np
import pytest

from keras_hashing.metrics import BitBalance, BitCorrelation, QuantizationError

METRICS = [BitBalance(8), BitCorrelation(8), QuantizationError()]


def of_batches(metric, codes):
    metric.reset_state()
    for batch in np.array_split(codes, 3):
        metric.update_state(None, batch)
    return float(metric.result())


def test_balance_is_the_mean_absolute_mean_of_the_bits(rng):
    codes = rng.normal(size=(50, 8)).astype("float32") + 0.5
    bits = np.where(codes > 0, 1, -1)
    expected = np.abs(bits.mean(axis=0)).mean()
    assert of_batches(BitBalance(8), codes) == pytest.approx(expected, rel=1e-5)


def test_correlation_is_the_mean_absolute_pearson_correlation_of_different_bits(rng):
    codes = rng.normal(size=(50, 8)).astype("float32")
    codes[:, 1] = codes[:, 0]
    bits = np.where(codes > 0, 1, -1)
    correlation = np.abs(np.corrcoef(bits.T))
    expected = correlation[~np.eye(8, dtype=bool)].mean()
    assert of_batches(BitCorrelation(8), codes) == pytest.approx(expected, rel=1e-4)


def test_copies_of_one_bit_are_fully_correlated_and_constant_bits_are_not(rng):
    bit = rng.normal(size=(50, 1)).astype("float32")
    assert of_batches(BitCorrelation(8), np.tile(bit, 8)) == pytest.approx(1, rel=1e-4)
    assert of_batches(BitCorrelation(8), np.ones((50, 8), "float32")) == 0
    assert of_batches(BitBalance(8), np.ones((50, 8), "float32")) == 1


def test_quantization_error_is_the_mean_squared_distance_to_the_sign(rng):
    codes = rng.normal(size=(51, 8)).astype("float32")
    expected = ((codes - np.where(codes > 0, 1, -1)) ** 2).mean()
    assert of_batches(QuantizationError(), codes) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_serialises_and_is_defined_before_the_first_batch(metric):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    assert float(again.result()) == 0


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_works_in_compile(metric, rng):
    metric = type(metric).from_config(metric.get_config())
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8)])
    model.compile("sgd", "mse", metrics=[metric])
    x = rng.normal(size=(30, 5)).astype("float32")
    history = model.fit(x, np.zeros((30, 8)), verbose=0).history
    assert np.isfinite(history[metric.name]).all()


def test_one_bit_has_no_pair_and_no_correlation():
    metric = BitCorrelation(1)
    metric.update_state(None, np.array([[0.5], [-2.0], [1.0]], np.float32))
    assert float(metric.result()) == 0
