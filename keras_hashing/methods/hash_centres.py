"""Binary codes, far from each other, that stand for classes."""

import math

import numpy as np
from threadpoolctl import threadpool_limits

from keras_hashing.checks import check_bits, check_count

_ENUMERATED = 20_000  # up to so many balanced codes are listed, not drawn
_DRAWN = 8_192
_DRAWN_PER_CLASS = 8
_BLOCK = 256
# A later block gives fewer centres than this one, as more are chosen by then: a search gives up
# where twice its rate would not do.
_HOPE = 2


@threadpool_limits.wrap(limits=1, user_api="blas")  # see `keras_hashing.rotation.itq_rotation`
def hash_centres(
    num_classes: int, bits: int, seed: int = 0, random_rows: bool = True
) -> np.ndarray:
    """One ±1 code for each class, far from all others.

    | classes | bits | centres | minimum distance |
    |---|---|---|---|
    | up to K | with a Hadamard matrix | orthogonal: rows of it, each with a random sign | K/2 |
    | up to 2K | with a Hadamard matrix | its rows and their negatives | K/2 |
    | otherwise | any | random balanced codes | the largest a greedy search reaches, at least 2 |

    No K-bit codes of more than 2K classes are K/2 apart (Plotkin). A Hadamard matrix is made by
    the constructions of Sylvester and Paley (over a prime), and doubling; of the multiples of 8
    up to 256 they leave out 184 and 232. Random rows are taken by default, not the first: those
    of Sylvester's matrix repeat the same columns, so that bits are copies of each other. Every
    code is balanced (as many +1 as -1, one fewer where K is odd), but for the constant row that
    only K classes and more need. The result depends on the arguments alone.

    Source: Yuan et al., "Central Similarity Quantization", CVPR 2020, section 3: Hadamard
    matrices where they fit, else random balanced codes.

    Args:
        num_classes: number of centres, at least 1.
        bits: K.
        seed: integer seed.
        random_rows: with a Hadamard matrix, `False` takes its first rows as they are.

    Returns:
        float32 array of -1 and +1, shape (num_classes, bits).

    Raises:
        ValueError: if there are not so many balanced codes of that length.
    """
    bits, num_classes = check_bits(bits), check_count("num_classes", num_classes)
    rng = np.random.default_rng(seed)
    matrix = hadamard_matrix(bits) if num_classes <= 2 * bits else None
    if matrix is None:
        return _random_centres(num_classes, bits, rng)
    rows = matrix
    if random_rows:
        # The constant row comes last; rows are used up before their negatives.
        order = np.append(1 + rng.permutation(bits - 1), 0)
        rows = matrix[order] * rng.choice([-1.0, 1.0], (bits, 1))
    return np.concatenate([rows, -rows])[:num_classes].astype("float32")


def hadamard_matrix(order: int) -> np.ndarray | None:
    """A Hadamard matrix whose first row is constant, or None where no construction is known here.

    Args:
        order: number of rows and columns.

    Returns:
        float array of -1 and +1 with H Hᵀ = order · I, shape (order, order).
    """
    if order in (1, 2):
        return np.array([[1.0, 1.0], [1.0, -1.0]])[:order, :order]
    if order % 4:
        return None
    half = hadamard_matrix(order // 2)
    if half is not None:
        return np.block([[half, half], [half, -half]])
    matrix = _paley(order)
    # The sign of a column is free: make the first row constant, and thereby the others balanced.
    return None if matrix is None else matrix * matrix[0]


def _paley(order: int) -> np.ndarray | None:
    """Paley's constructions: order q + 1 or 2 (q + 1) for a prime q of 3 or 1 mod 4."""
    if _is_prime(order - 1) and (order - 1) % 4 == 3:
        characters = _bordered_characters(order - 1, -1.0)
        return np.eye(order) + characters
    if _is_prime(order // 2 - 1) and (order // 2 - 1) % 4 == 1:
        characters = _bordered_characters(order // 2 - 1, 1.0)
        return np.kron(characters, [[1, 1], [1, -1]]) + np.kron(
            np.eye(order // 2), [[1, -1], [-1, -1]]
        )
    return None


def _bordered_characters(q: int, first_column: float) -> np.ndarray:
    """Jacobsthal's matrix of the quadratic characters χ(i - j) mod q, in a border of ±1."""
    characters = np.full(q, -1.0)
    characters[np.arange(1, q) ** 2 % q] = 1.0
    characters[0] = 0.0
    bordered = np.ones((q + 1, q + 1))
    bordered[0, 0] = 0.0
    bordered[1:, 0] = first_column
    bordered[1:, 1:] = characters[np.subtract.outer(np.arange(q), np.arange(q)) % q]
    return bordered


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, math.isqrt(n) + 1))


def _random_centres(num_classes: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Balanced codes, with the largest minimum distance that a greedy search reaches."""
    candidates = _balanced_codes(num_classes, bits, rng)
    # Two balanced codes differ in an even number of bits.
    for distance in range(max(bits // 4 * 2, 2), 0, -2):
        centres = _greedy_subset(candidates, num_classes, distance)
        if centres is not None:
            return centres
    raise AssertionError("Different balanced codes are at least 2 apart.")


def _balanced_codes(num_classes: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Different balanced codes in random order: all of them, or enough to choose from."""
    existing = math.comb(bits, bits // 2)
    if num_classes > existing:
        raise ValueError(
            f"There are {existing} balanced codes of {bits} bits: too few for a hash centre per "
            f"class. Take more bits. Received: num_classes={num_classes}, bits={bits}"
        )
    if existing <= _ENUMERATED:
        numbers = np.arange(2**bits, dtype=np.uint32)
        numbers = numbers[np.bitwise_count(numbers) == bits // 2]
        ones = rng.permutation(numbers)[:, None] >> np.arange(bits, dtype=np.uint32) & 1
    else:
        count = max(_DRAWN, _DRAWN_PER_CLASS * num_classes)
        ones = np.tile(np.arange(bits) % 2, (count, 1))
        ones = np.unique(rng.permuted(ones, axis=1), axis=0)
        ones = rng.permutation(ones)
    return (2.0 * ones - 1).astype("float32")


def _greedy_subset(candidates: np.ndarray, size: int, distance: int) -> np.ndarray | None:
    """The first candidates that are `distance` apart, or None if they are fewer than `size`."""
    largest_product = candidates.shape[1] - 2 * distance
    chosen = candidates[:0]
    for start in range(0, len(candidates), _BLOCK):
        block = candidates[start : start + _BLOCK]
        block = block[(block @ chosen.T).max(axis=1, initial=-np.inf) <= largest_product]
        close = block @ block.T > largest_product
        taken: list[int] = []
        free = np.ones(len(block), dtype=bool)
        while free.any():
            taken.append(int(free.argmax()))  # the first one
            free &= ~close[taken[-1]]
        chosen = np.concatenate([chosen, block[taken]])
        if len(chosen) >= size:
            return chosen[:size]
        left = len(candidates) - start - _BLOCK
        if len(chosen) + _HOPE * max(len(taken), 1) / _BLOCK * left < size:
            return None
    return None
