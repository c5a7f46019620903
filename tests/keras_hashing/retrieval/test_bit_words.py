import numpy as np
import pytest

from keras_hashing.retrieval.bit_words import bit_words


@pytest.mark.parametrize(
    ("width", "size", "words"),
    [(1, 1, 1), (2, 2, 1), (3, 4, 1), (4, 4, 1), (5, 8, 1), (8, 8, 1), (9, 8, 2), (32, 8, 4)],
)
def test_words_are_as_wide_as_the_row_needs_and_hold_its_bits(width, size, words):
    packed = np.random.default_rng(width).integers(0, 256, (7, width), dtype=np.uint8)
    result = bit_words(packed)
    assert result.shape == (words, 7)
    assert result.dtype.itemsize == size
    assert result.flags.c_contiguous
    bytes_of_rows = np.ascontiguousarray(result.T).view(np.uint8)
    np.testing.assert_array_equal(bytes_of_rows[:, :width], packed)
    assert not bytes_of_rows[:, width:].any()
