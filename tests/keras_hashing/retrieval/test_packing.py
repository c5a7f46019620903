import numpy as np
import pytest

from keras_hashing.retrieval import pack_codes, unpack_codes


def test_first_bit_is_the_most_significant_of_the_first_byte():
    codes = -np.ones((1, 16))
    codes[0, 0] = codes[0, 15] = 1
    assert pack_codes(codes).tolist() == [[128, 1]]


def test_bit_is_one_only_above_zero():
    codes = np.array([[0.0, -0.0, 1e-30, -1e-30, 5.0, -5.0, 1.0, -1.0]])
    assert pack_codes(codes).tolist() == [[0b00101010]]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float16, np.float32, np.float64])
def test_every_dtype_packs_the_same_bits(dtype):
    bits = np.random.default_rng(0).random((4, 24)) < 0.5
    codes = bits if dtype is bool else np.where(bits, 1, -1).astype(dtype)
    np.testing.assert_array_equal(pack_codes(codes), np.packbits(bits, axis=1))


def test_bfloat16_codes_pack():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    codes = np.array([[1, -1, 1, -1, 0, 0, 0, 1]], dtype=ml_dtypes.bfloat16)
    assert pack_codes(codes).tolist() == [[0b10100001]]


@pytest.mark.parametrize("shape", [(8,), (0, 16), (5, 8), (2, 3, 64)])
def test_unpacking_undoes_packing_for_any_leading_axes(shape):
    codes = np.random.default_rng(1).choice([-1, 1], size=shape)
    packed = pack_codes(codes)
    assert packed.dtype == np.uint8
    assert packed.shape == (*shape[:-1], shape[-1] // 8)
    unpacked = unpack_codes(packed, shape[-1])
    assert unpacked.dtype == np.int8
    np.testing.assert_array_equal(unpacked, codes)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.ones((2, 0)), r"K >= 1\. Received"),
        (1.0, r"Received: shape=\(\)"),
        (np.array([[1.0] * 7 + [np.nan]]), r"finite\. Received: nan at position \(0, 7\)"),
        (np.full((1, 8), np.inf), r"finite\. Received: inf"),
        (np.ones((1, 8), dtype=complex), r"real numbers\. Received: dtype=complex128"),
        ([["a"] * 8], r"real numbers\. Received"),
    ],
)
def test_codes_that_cannot_be_packed_are_refused(codes, message):
    with pytest.raises(ValueError, match=f"`codes` must .*{message}"):
        pack_codes(codes)


@pytest.mark.parametrize(
    ("packed", "bits", "message"),
    [
        (np.zeros((2, 2), np.int64), 16, "`packed` must .* uint8. Received: dtype=int64"),
        (np.zeros((2, 2), np.uint8), 8, r"1 bytes for codes of 8 bits. Received: shape=\(2, 2\)"),
        (np.full((2, 2), 1, np.uint8), 12, "zeros after the 12 bits"),
        (np.zeros((2, 2), np.uint8), 0, "`bits` must .* Received: bits=0"),
        (np.zeros((2, 0), np.uint8), 8, r"Received: shape=\(2, 0\)"),
        (np.zeros((2, 2), np.uint8), 16.0, "`bits` must be an integer. Received: bits=16.0"),
    ],
)
def test_bytes_that_do_not_fit_the_bits_are_refused(packed, bits, message):
    with pytest.raises(ValueError, match=message):
        unpack_codes(packed, bits)
