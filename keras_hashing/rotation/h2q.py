"""H²Q: Householder hashing quantization."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from keras_hashing.checks import check_count
from keras_hashing.rotation.rotated_error import check_codes, rotated_error

_RANDOM_STARTS = 8


@threadpool_limits.wrap(limits=1, user_api="blas")  # see `itq_rotation`
def h2q_rotation(codes: np.ndarray, iterations: int = 200, seed: int = 0) -> np.ndarray:
    """The orthogonal matrix R that brings codes V closer to their signs, by its gradient.

        minimise  mean (|z| - 1)²,   z = V R,   R = H_1 H_2 … H_K,   H_k = I - 2 v_k v_kᵀ / ‖v_k‖²

    Every orthogonal matrix is a product of K reflections, so the vectors v_k are free, and any
    optimizer of the first order serves. The error is not convex; it is minimised from the
    identity (each reflection twice) and from eight sets of random reflections, and the best result
    is returned, so the error of the codes as they are is never exceeded.

    Source: Schwengber, Resende, Orenstein, Oliveira, "Deep Hashing via Householder Quantization",
    arXiv 2311.04207, with its L2 loss. The authors minimise by stochastic gradient descent from
    one random start; codes fit in memory here, and L-BFGS with the exact gradient needs no
    learning rate.

    Args:
        codes: V, continuous codes, shape (n, bits).
        iterations: bound on the iterations of each run, at least 1.
        seed: integer seed of the random starts.

    Returns:
        R, float64, shape (bits, bits): the rotated codes are `codes @ R`.

    Raises:
        ValueError: if `codes` are not finite or of rank 2, or `iterations` is not positive.
    """
    codes = check_codes(codes)
    check_count("iterations", iterations)
    bits = codes.shape[1]
    normal = np.random.default_rng(seed).normal(size=(_RANDOM_STARTS, bits, bits))
    identity = np.repeat(normal[0, : (bits + 1) // 2], 2, axis=0)
    starts = [identity, *normal]
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
        product -= np.outer(product @ vector, 2 / (vector @ vector) * vector)
    return product


def _error_and_gradient(codes: np.ndarray, vectors: np.ndarray) -> tuple[float, np.ndarray]:
    """The error and its gradient in the vectors, flat.

    With V of the vectors as columns, the product of the reflections is I - V S⁻¹ Vᵀ for the upper
    triangular S = triu(VᵀV, 1) + ½ diag(VᵀV) (the compact WY form: Schreiber and Van Loan, 1989).
    With G the gradient in the product, X = S⁻¹ Vᵀ, Y = V S⁻¹ and N made of Yᵀ G Xᵀ as S is of
    VᵀV, the gradient in V is -G Xᵀ - Gᵀ Y + V (N + Nᵀ).
    """
    columns = vectors.T
    triangular = _upper(vectors @ columns)
    x = solve_triangular(triangular, vectors)
    y = solve_triangular(triangular, vectors, trans="T").T
    rotated = codes @ (np.eye(len(columns)) - columns @ x)
    deviation = np.abs(rotated) - 1
    gradient = codes.T @ (2 / codes.size * deviation * np.sign(rotated))
    inner = _upper(y.T @ gradient @ x.T)
    in_columns = columns @ (inner + inner.T) - gradient @ x.T - gradient.T @ y
    return float(np.mean(deviation**2)), in_columns.T.ravel()


def _upper(products: np.ndarray) -> np.ndarray:
    return np.triu(products, 1) + np.diag(np.diag(products) / 2)
