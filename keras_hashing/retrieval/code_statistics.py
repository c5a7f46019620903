"""Statistics of codes that need no labels: how much information the bits carry."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.retrieval.packing import unpack_codes
from keras_hashing.retrieval.validation import (
    check_continuous_codes,
    check_packed_bits,
    check_packed_codes,
)

ROWS = 8192  # codes unpacked at a time


def bit_balance(packed: ArrayLike, bits: int | None = None) -> float:
    """Returns the mean over bits of |mean of the ±1 bit|.

    0 means that each bit splits the codes in halves, 1 that each bit is constant.

    Args:
        packed: packed codes, uint8, shape [n, K/8], n >= 1.
        bits: K; `None` for all bits of the bytes.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if `packed` is not uint8, not of that shape, empty, or not of `bits` bits.
    """
    codes = check_packed_codes("packed", packed)
    bits = check_packed_bits("packed", codes, bits)
    total = sum(block.sum(axis=0, dtype=np.int64) for block in _unpacked(codes, bits))
    return float(np.abs(total).mean() / len(codes))


def bit_correlation(packed: ArrayLike, bits: int | None = None) -> float:
    """Returns the mean over pairs of different bits of the absolute Pearson correlation.

    0 means that no two bits are correlated, 1 that all bits are copies (or negations) of one.
    Balance alone does not see this. A constant bit has no correlation; its pairs count 0.

    Args:
        packed: packed codes, uint8, shape [n, K/8], n >= 1.
        bits: K; `None` for all bits of the bytes.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if `packed` is not uint8, not of that shape, empty, or not of `bits` bits.
    """
    codes = check_packed_codes("packed", packed)
    n, bits = len(codes), check_packed_bits("packed", codes, bits)
    total = np.zeros(bits)
    products = np.zeros((bits, bits))
    for block in _unpacked(codes, bits):
        values = block.astype(np.float32)  # sums of ±1 over a block are exact in float32
        total += values.sum(axis=0)
        products += values.T @ values
    covariance = products / n - np.outer(total, total) / n**2
    varies = np.abs(total) < n
    deviation = np.sqrt(np.where(varies, 1.0 - (total / n) ** 2, 1.0))
    correlation = np.abs(covariance) / np.outer(deviation, deviation)
    correlation[~np.outer(varies, varies)] = 0.0
    np.fill_diagonal(correlation, 0.0)
    return float(correlation.sum() / max(bits * (bits - 1), 1))


def code_entropy(packed: ArrayLike) -> float:
    """Returns the entropy of the empirical distribution of whole codes, in bits.

    `-Σ p log2 p` over the distinct codes, p the share of each; at most `min(K, log2 n)`.

    Args:
        packed: packed codes, uint8, shape [n, K/8], n >= 1.

    Returns:
        A float >= 0.

    Raises:
        ValueError: if `packed` is not uint8, not of that shape, or empty.
    """
    codes = check_packed_codes("packed", packed)
    share = _multiplicities(codes) / len(codes)
    return float(np.sum(share * -np.log2(share)))


def unique_codes(packed: ArrayLike) -> int:
    """Returns the number of distinct codes.

    Args:
        packed: packed codes, uint8, shape [n, K/8], n >= 1.

    Returns:
        An int in 1..n.

    Raises:
        ValueError: if `packed` is not uint8, not of that shape, or empty.
    """
    return len(_multiplicities(check_packed_codes("packed", packed)))


def quantization_error(continuous: ArrayLike) -> float:
    """Returns the mean over samples and bits of `(u - sign u)²`, with sign 0 = -1.

    Equal to the mean of `(|u| - 1)²`: what taking the sign throws away. Computed in float64.

    Args:
        continuous: continuous codes, a real dtype, shape [..., K], at least one code.

    Returns:
        A float >= 0.

    Raises:
        ValueError: if `continuous` is empty, not real or not finite.
    """
    array = check_continuous_codes("continuous", continuous)
    if array.size == 0:
        raise ValueError(f"`continuous` must hold at least one code. Received: shape={array.shape}")
    codes = array.reshape(-1, array.shape[-1])
    total = 0.0
    for start in range(0, len(codes), ROWS):
        block = codes[start : start + ROWS].astype(np.float64)
        total += float(np.square(np.abs(block) - 1.0).sum())
    return total / codes.size


def _unpacked(codes: NDArray[np.uint8], bits: int) -> Iterator[NDArray[np.int8]]:
    """Yields the ±1 codes, a block of rows at a time."""
    for start in range(0, len(codes), ROWS):
        yield unpack_codes(codes[start : start + ROWS], bits)


def _multiplicities(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Returns how often each distinct code occurs."""
    whole = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.shape[1])))[:, 0]
    return np.unique(whole, return_counts=True)[1]
