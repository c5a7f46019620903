"""H²Q: Householder hashing quantization."""

import numpy as np
from scipy.optimize import minimize

from keras_hashing.rotation.rotated_error import check_codes, rotated_error


def h2q_rotation(codes: np.ndarray, iterations: int = 200, seed: int = 0) -> np.ndarray:
    """The orthogonal matrix R that brings codes V closer to their signs, by its gradient.

        minimise  mean (|z| - 1)²,   z = V R,   R = H_1 H_2 … H_K,   H_k = I - 2 v_k v_kᵀ / ‖v_k‖²

    Every orthogonal matrix is a product of K reflections, so the vectors v_k are free, and any
    optimizer of the first order serves. The error is not convex; it is minimised from the
    identity (each reflection twice) and from random reflections, and the better result is
    returned, so the error of the codes as they are is never exceeded.

    Source: Schwengber, Resende, Orenstein, Oliveira, "Deep Hashing via Householder Quantization",
    arXiv 2311.04207, with its L2 loss. The authors minimise by stochastic gradient descent from
    one random start; codes fit in memory here, and L-BFGS with the exact gradient needs no
    learning rate.

    Args:
        codes: V, continuous codes, shape (n, bits), with an even number of bits.
        iterations: bound on the iterations of each run, at least 1.
        seed: integer seed of the random start.

    Returns:
        R, float64, shape (bits, bits): the rotated codes are `codes @ R`.

    Raises:
        ValueError: if `codes` are not finite or of rank 2, have an odd number of bits, or
            `iterations` is not positive.
    """
    codes = check_codes(codes)
    if iterations < 1:
        raise ValueError(f"`iterations` must be at least 1. Received: iterations={iterations}")
    bits = codes.shape[1]
    if bits % 2:
        raise ValueError(f"`codes` must have an even number of bits. Received: bits={bits}")
    normal = np.random.default_rng(seed).normal(size=(bits, bits))
    starts = [np.repeat(normal[: bits // 2], 2, axis=0), normal]
    rotations = [_descend(codes, start, iterations) for start in starts]
    return min(rotations, key=lambda rotation: rotated_error(codes, rotation))


def _descend(codes: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
    found = minimize(
        lambda flat: _error_and_gradient(codes, flat.reshape(start.shape)),
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations},
    )
    return product_of_reflections(found.x.reshape(start.shape))


def product_of_reflections(vectors: np.ndarray) -> np.ndarray:
    """H_1 H_2 … H_m of the rows of `vectors`, shape (m, bits): an orthogonal (bits, bits)."""
    product = np.eye(vectors.shape[1])
    for vector in vectors:
        product = _reflect(product, vector)
    return product


def _reflect(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """matrix · H of one vector."""
    return matrix - np.outer(matrix @ vector, 2 / (vector @ vector) * vector)


def _error_and_gradient(codes: np.ndarray, vectors: np.ndarray) -> tuple[float, np.ndarray]:
    """The error and its gradient in the vectors, flat.

    Backwards through the product, with Q = H_1 … H_(k-1) and G the gradient in H_1 … H_k:
    M = Qᵀ G is the gradient in H_k, and that in v is
    -2/‖v‖² ((M + Mᵀ) v - 2 (vᵀ M v)/‖v‖² v).
    """
    product = product_of_reflections(vectors)
    rotated = codes @ product
    deviation = np.abs(rotated) - 1
    gradient = codes.T @ (2 / codes.size * deviation * np.sign(rotated))
    gradients = np.empty_like(vectors)
    for k in range(len(vectors) - 1, -1, -1):
        vector = vectors[k]
        square = vector @ vector
        product = _reflect(product, vector)
        in_reflection_times_v = product.T @ (gradient @ vector)
        transposed_times_v = gradient.T @ (product @ vector)
        along = 2 * (vector @ in_reflection_times_v) / square
        gradients[k] = -2 / square * (in_reflection_times_v + transposed_times_v - along * vector)
        gradient = _reflect(gradient, vector)
    return float(np.mean(deviation**2)), gradients.ravel()
