"""What the rotations minimise, and where they start."""

import numpy as np


def check_codes(codes: np.ndarray) -> np.ndarray:
    """Codes as float64, shape (n, bits).

    Raises:
        ValueError: if they are not of rank 2, there are none, or one is not finite.
    """
    codes = np.asarray(codes, dtype="float64")
    if codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        raise ValueError(
            "`codes` must be finite continuous codes of shape (n, bits). "
            f"Received: shape={codes.shape}, finite={bool(np.isfinite(codes).all())}"
        )
    return codes


def signs(codes: np.ndarray) -> np.ndarray:
    """±1 signs; 0 → -1."""
    return np.where(codes > 0, 1.0, -1.0)


def rotated_error(codes: np.ndarray, rotation: np.ndarray) -> float:
    """Mean of (z - sign z)² over the rotated codes z: what `metrics.QuantizationError` shows."""
    return float(np.mean((np.abs(codes @ rotation) - 1) ** 2))


def random_rotation(bits: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix, uniform by Haar's measure."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(bits, bits)))
    return q * np.sign(np.diag(r))
