import warnings

import numpy as np
import pytest
from scipy.stats import entropy

from keras_hashing.retrieval import (
    bit_balance,
    bit_correlation,
    code_entropy,
    code_statistics,
    pack_codes,
    quantization_error,
    unique_codes,
)

PACKED_STATISTICS = [bit_balance, bit_correlation, code_entropy, unique_codes]


@pytest.fixture
def codes():
    """Correlated, unbalanced ±1 codes."""
    rng = np.random.default_rng(0)
    return np.where(rng.standard_normal((500, 4)) @ rng.standard_normal((4, 24)) > 0.5, 1, -1)


@pytest.fixture(params=[8192, 37], autouse=True)
def rows(request, monkeypatch):
    monkeypatch.setattr(code_statistics, "ROWS", request.param)


def test_balance_is_the_mean_absolute_mean(codes):
    assert bit_balance(pack_codes(codes)) == pytest.approx(np.abs(codes.mean(axis=0)).mean())


def test_correlation_equals_numpy(codes):
    matrix = np.abs(np.corrcoef(codes, rowvar=False))
    expected = (matrix.sum() - 24) / (24 * 23)
    assert bit_correlation(pack_codes(codes)) == pytest.approx(expected, abs=1e-12)


def test_copies_and_negations_of_one_bit_are_fully_correlated():
    bit = np.random.default_rng(0).choice([-1, 1], size=(100, 1))
    assert bit_correlation(pack_codes(bit * np.tile([1, -1], 8))) == pytest.approx(1.0)


def test_a_constant_bit_contributes_no_correlation():
    codes = np.ones((100, 8))
    codes[::2, :2] = -1  # two equal bits, six constant ones
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bit_correlation(pack_codes(codes)) == pytest.approx(2 / (8 * 7))
        assert bit_correlation(pack_codes(codes[:1])) == 0.0


def test_entropy_is_that_of_whole_codes(codes):
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert code_entropy(pack_codes(codes)) == pytest.approx(entropy(counts, base=2))


def test_unique_codes_are_counted(codes):
    assert unique_codes(pack_codes(codes)) == len(np.unique(codes, axis=0))


def test_all_256_codes_of_a_byte():
    packed = np.arange(256, dtype=np.uint8)[:, None]
    assert bit_balance(packed) == 0.0
    assert bit_correlation(packed) == 0.0
    assert code_entropy(packed) == 8.0
    assert unique_codes(packed) == 256


def test_equal_codes():
    packed = np.full((5, 4), 7, dtype=np.uint8)
    assert bit_balance(packed) == 1.0
    assert code_entropy(packed) == 0.0
    assert unique_codes(packed) == 1


def test_quantization_error_takes_the_sign_of_zero_as_minus_one():
    assert quantization_error([[0.0]]) == 1.0
    assert quantization_error([[1.0, -1.0]]) == 0.0
    codes = np.random.default_rng(0).standard_normal((50, 3, 5)).astype(np.float16)
    exact = codes.astype(np.float64)
    expected = np.square(exact - np.where(exact > 0, 1, -1)).mean()
    assert quantization_error(codes) == pytest.approx(expected)


@pytest.mark.parametrize("statistic", PACKED_STATISTICS)
@pytest.mark.parametrize("packed", [np.ones((3, 2)), np.ones(3, np.uint8), np.ones((0, 2), "u1")])
def test_bad_codes_are_refused(statistic, packed):
    with pytest.raises(ValueError, match=r"`packed` must .* Received: "):
        statistic(packed)


@pytest.mark.parametrize("continuous", [[[np.nan]], np.ones((0, 8)), [["a"]]])
def test_bad_continuous_codes_are_refused(continuous):
    with pytest.raises(ValueError, match=r"`continuous` must .* Received: "):
        quantization_error(continuous)
