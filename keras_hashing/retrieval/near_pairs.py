"""All pairs of codes within a Hamming radius: an exact join, without comparing all with all."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.retrieval.precision import check_radius
from keras_hashing.retrieval.validation import check_packed_codes

_ROWS = 1 << 18  # sorted codes at a time
_KEY_BITS = 64  # of each part that count: more do not fit a number


class NearPairs(NamedTuple):
    """Some of the pairs.

    Attributes:
        first: positions, int64 [m].
        second: positions, int64 [m]; first < second.
        distance: Hamming distances, int32 [m].
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.int32]


def near_pairs(
    codes: ArrayLike, radius: int, part: int, advance: Callable[[int], None] = lambda codes: None
) -> Iterator[NearPairs]:
    """One of `radius` + 1 shares of the pairs of codes at most `radius` apart, block by block.

    The bits are cut into `radius` + 1 parts. Two codes that differ in at most `radius` bits agree
    in at least one of them (the pigeonhole principle; Norouzi, Punjani and Fleet, CVPR 2012), so
    sorting by each part in turn brings all pairs together. Of a long part the first 64 bits count.
    Share p holds the pairs that agree in part p and in none before it: each pair is in one share.

    Time is that of `radius` + 1 sorts, and of comparing the codes that agree in a part: where many
    do, it grows with the square of their number, so give it different codes. Memory is some 40
    bytes per code, and that of a block.

    Args:
        codes: packed codes, uint8 [n, bytes].
        radius: the largest distance wanted, 0 to 8 · bytes - 1.
        part: which share, 0 to `radius`.
        advance: called with the number of codes that are looked at next; n in all.

    Yields:
        The share's pairs, in a fixed order.

    Raises:
        ValueError: if an argument breaks its rule.
    """
    packed = check_packed_codes("codes", codes, allow_empty=True)
    bits = 8 * packed.shape[1]
    check_radius(radius, bits - 1)
    if not 0 <= part <= radius:
        raise ValueError(f"`part` must be 0 to `radius`, {radius}. Received: part={part}")
    keyed = _parts(bits, radius)
    keys = _keys(packed, *keyed[part])
    order = np.argsort(keys, kind="stable")
    keys, ordered = keys[order], packed[order]
    masks = [_mask(packed.shape[1], *before) for before in keyed[:part]]
    for start in range(0, len(keys), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(keys)))
        advance(len(rows))
        step = 0
        while len(rows):
            step += 1
            rows = rows[rows + step < len(keys)]
            rows = rows[keys[rows] == keys[rows + step]]
            differing = ordered[rows] ^ ordered[rows + step]
            distance = np.bitwise_count(differing).sum(axis=1, dtype=np.int32)
            wanted = distance <= radius
            for mask in masks:
                wanted &= (differing & mask).any(axis=1)
            if wanted.any():
                one, other = order[rows[wanted]], order[rows[wanted] + step]
                yield NearPairs(np.minimum(one, other), np.maximum(one, other), distance[wanted])


def pairs_to_compare(codes: ArrayLike, radius: int) -> int:
    """How many pairs all shares of `near_pairs` compare, which decides the time that it takes.

    Args:
        codes: packed codes, uint8 [n, bytes].
        radius: as in `near_pairs`.

    Raises:
        ValueError: if an argument breaks its rule.
    """
    packed = check_packed_codes("codes", codes, allow_empty=True)
    bits = 8 * packed.shape[1]
    check_radius(radius, bits - 1)
    pairs = 0
    for start, end in _parts(bits, radius):
        _, equal = np.unique(_keys(packed, start, end), return_counts=True)
        pairs += int((equal * (equal - 1) // 2).sum())
    return pairs


def _parts(bits: int, radius: int) -> list[tuple[int, int]]:
    """Where each of `radius` + 1 parts of the bits begins, and where its key ends."""
    edges = np.linspace(0, bits, radius + 2).astype(int)
    return [(start, min(end, start + _KEY_BITS)) for start, end in pairwise(edges)]


def _mask(width: int, start: int, end: int) -> NDArray[np.uint8]:
    """The bits from `start` to `end` of a packed code, uint8 [width]."""
    bits = np.zeros(8 * width, np.uint8)
    bits[start:end] = 1
    return np.packbits(bits)


def _keys(packed: NDArray[np.uint8], start: int, end: int) -> NDArray[np.uint64]:
    """The bits from `start` to `end`, at most 64, of each code as one number."""
    keys = np.empty((len(packed), 8), np.uint8)
    for at in range(0, len(packed), _ROWS):
        block = np.unpackbits(packed[at : at + _ROWS, start // 8 : -(-end // 8)], axis=1)
        part = np.packbits(block[:, start % 8 : start % 8 + end - start], axis=1)
        keys[at : at + _ROWS] = 0
        keys[at : at + _ROWS, : part.shape[1]] = part
    return keys.view(np.uint64)[:, 0]
