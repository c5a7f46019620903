"""Packed codes: eight bits a byte, most significant bit first."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_bits
from keras_hashing.retrieval.validation import check_continuous_codes, check_packed_bits


def pack_codes(codes: ArrayLike) -> NDArray[np.uint8]:
    """Packs the signs of codes into bytes.

    Bit k is 1 when `u_k > 0`, so an exact zero is a 0 bit. The first bit is the most significant
    bit of the first byte (`numpy.packbits`), as in the serving contract.

    Args:
        codes: continuous or ±1 codes, float or int, shape [..., n, K] (any number of leading
            axes, or none), K >= 1; n may be 0. A bool array is taken as bits.

    Returns:
        Packed codes, uint8, shape [..., n, K/8], K/8 rounded up (`packed_width`): zero bits fill
        the last byte.

    Raises:
        ValueError: if a value is not finite or not a real number.

    Example:

    >>> pack_codes([[1.0, -1.0, 0.2, 0.0, -3.0, -1.0, -1.0, 5.0]])
    array([[161]], dtype=uint8)
    """
    return np.packbits(check_continuous_codes("codes", codes) > 0, axis=-1)


def unpack_codes(packed: ArrayLike, bits: int) -> NDArray[np.int8]:
    """Unpacks bytes into ±1 codes, the inverse of `pack_codes`.

    Args:
        packed: packed codes, uint8, shape [..., n, `packed_width(bits)`].
        bits: the number of bits of a code, K.

    Returns:
        Codes of -1 and +1 (not 0 and 1), int8, shape [..., n, bits].

    Raises:
        ValueError: if `packed` is not uint8, `bits` is not a positive integer, the last axis is
            not that of codes of `bits` bits, or a bit after them is set.
    """
    array = np.asarray(packed)
    if array.dtype != np.uint8:
        raise ValueError(
            f"`packed` must be packed codes of dtype uint8. Received: dtype={array.dtype}"
        )
    if array.ndim < 1 or array.shape[-1] == 0:
        raise ValueError(
            f"`packed` must have shape [..., bytes of a code]. Received: shape={array.shape}"
        )
    bits = check_packed_bits("packed", array.reshape(-1, array.shape[-1]), check_bits(bits))
    return np.unpackbits(array, axis=-1, count=bits).view(np.int8) * np.int8(2) - np.int8(1)
