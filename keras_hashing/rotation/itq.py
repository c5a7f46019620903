"""ITQ: iterative quantization."""

import numpy as np
from threadpoolctl import threadpool_limits

from keras_hashing.checks import check_count
from keras_hashing.rotation.rotated_error import (
    check_codes,
    random_rotation,
    rotated_error,
    signs,
)


# On a busy machine the threads of many small products wait for each other: 20 times as long.
@threadpool_limits.wrap(limits=1, user_api="blas")
def itq_rotation(codes: np.ndarray, iterations: int = 50, seed: int = 0) -> np.ndarray:
    """The orthogonal matrix R that brings codes V closer to their signs, by alternation.

        minimise  ‖B - V R‖²  over B in {-1, +1}^(n×K) and orthogonal R

    B given R is sign(V R). R given B is the orthogonal Procrustes problem: with the singular value
    decomposition Bᵀ V = S Ω Ŝᵀ, R = Ŝ Sᵀ. Neither step raises the error. Alternation finds a
    local minimum; it is run from the identity and from a random rotation, and the better result
    is returned, so the error of the codes as they are is never exceeded.

    Source: Gong, Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary
    Codes", CVPR 2011. There V is a centred PCA projection; codes are taken here as they
    are, so that their inner products stay.

    Args:
        codes: V, continuous codes, shape (n, bits).
        iterations: alternations of each run, at least 1.
        seed: integer seed of the random rotation.

    Returns:
        R, float64, shape (bits, bits): the rotated codes are `codes @ R`.

    Raises:
        ValueError: if `codes` are not finite or of rank 2, or `iterations` is not positive.
    """
    codes = check_codes(codes)
    check_count("iterations", iterations)
    bits = codes.shape[1]
    starts = [np.eye(bits), random_rotation(bits, seed)]
    rotations = [_alternate(codes, start, iterations) for start in starts]
    return min(rotations, key=lambda rotation: rotated_error(codes, rotation))


def _alternate(codes: np.ndarray, rotation: np.ndarray, iterations: int) -> np.ndarray:
    binary = signs(codes @ rotation)
    for _ in range(iterations):
        left, _, right = np.linalg.svd(binary.T @ codes)
        rotation = right.T @ left.T
        previous, binary = binary, signs(codes @ rotation)
        if np.array_equal(binary, previous):
            break
    return rotation
