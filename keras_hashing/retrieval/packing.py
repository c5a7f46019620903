"""Packed codes: eight bits a byte, most significant bit first."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_integer
from keras_hashing.retrieval.validation import check_continuous_codes


def pack_codes(codes: ArrayLike) -> NDArray[np.uint8]:
    """Packs the signs of codes into bytes.

    Bit k is 1 when `u_k > 0`, so an exact zero is a 0 bit. The first bit is the most significant
    bit of the first byte (`numpy.packbits`), as in the serving contract.

    Args:
        codes: continuous or ±1 codes, float or int, shape [..., n, K] (any number of leading
            axes, or none), K a multiple of 8; n may be 0. A bool array is taken as bits.

    Returns:
        Packed codes, uint8, shape [..., n, K/8].

    Raises:
        ValueError: if K is not a multiple of 8, or a value is not finite or not a real number.

    Example:

    >>> pack_codes([[1.0, -1.0, 0.2, 0.0, -3.0, -1.0, -1.0, 5.0]])
    array([[161]], dtype=uint8)
    """
    array = check_continuous_codes("codes", codes)
    if array.shape[-1] % 8:
        raise ValueError(
            "`codes` must have a number of bits (the last axis) that is a multiple of 8. "
            f"Received: shape={array.shape}"
        )
    return np.packbits(array > 0, axis=-1)


def unpack_codes(packed: ArrayLike, bits: int) -> NDArray[np.int8]:
    """Unpacks bytes into ±1 codes, the inverse of `pack_codes`.

    Args:
        packed: packed codes, uint8, shape [..., n, bits/8].
        bits: the number of bits of a code, K.

    Returns:
        Codes of -1 and +1 (not 0 and 1), int8, shape [..., n, bits].

    Raises:
        ValueError: if `packed` is not uint8, `bits` is not a positive multiple of 8, or the last
            axis is not `bits / 8`.
    """
    array = np.asarray(packed)
    if array.dtype != np.uint8:
        raise ValueError(
            f"`packed` must be packed codes of dtype uint8. Received: dtype={array.dtype}"
        )
    bits = check_integer("bits", bits, 8, None, "a positive multiple of 8")
    if bits % 8:
        raise ValueError(f"`bits` must be a positive multiple of 8. Received: bits={bits}")
    if array.ndim < 1 or array.shape[-1] != bits // 8:
        raise ValueError(
            f"`packed` must have shape [..., bits/8] = [..., {bits // 8}]. "
            f"Received: shape={array.shape}"
        )
    return np.unpackbits(array, axis=-1).view(np.int8) * np.int8(2) - np.int8(1)
