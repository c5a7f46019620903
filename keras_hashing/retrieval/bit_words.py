"""Rows of bytes seen as machine words, so that one instruction handles up to 64 bits."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.unsignedinteger]


def bit_words(packed: NDArray[np.uint8]) -> Words:
    """Returns rows of bytes as unsigned words, one row of the result a word.

    A word has 1, 2, 4 or 8 bytes, the least that holds a row, else 8. Zero bytes fill the last
    word; they change neither a Hamming distance nor whether two rows share a set bit.

    Args:
        packed: uint8, shape [n, bytes].

    Returns:
        Words, contiguous, shape [words, n]: word w of all rows lies together in memory.
    """
    rows, width = packed.shape
    size = min(8, 1 << (width - 1).bit_length())
    padded = np.zeros((rows, -(-width // size) * size), dtype=np.uint8)
    padded[:, :width] = packed
    return np.ascontiguousarray(padded.view(f"u{size}").T)
