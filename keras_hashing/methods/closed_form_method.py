"""Base class of the methods that compute the head from features, without training."""

from typing import Any

import numpy as np
from keras import ops

from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


class ClosedFormMethod(HashingMethod):
    """Base class: the head is computed from features, and nothing is trained.

        u = (x - mean) W

    A subclass implements `projection(features, mean, seed)`. The features are centred, because a
    plane through the origin does not divide features that all lie on one side of it, such as
    pooled activations of a ReLU.

    There is no objective, so the loss of every sample is 0.
    """

    needs_labels = False
    trains = False

    def call(self, labels: Tensor, codes: Tensor, training: bool | None = None) -> Tensor:
        """0 for each sample: (batch, bits) → (batch,)."""
        return ops.zeros(ops.shape(codes)[:1], dtype="float32")

    def closed_form(self, features: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The weights of the head: u = x W + b.

        Args:
            features: shape (n, features); it may be memory-mapped, and is read in blocks.
            seed: integer seed of what is random.

        Returns:
            kernel: W, float64, shape (features, bits).
            bias: b, float64, shape (bits,).

        Raises:
            ValueError: if `features` are not finite or of rank 2, or too few for the method.
        """
        if features.ndim != 2 or not features.size:
            raise ValueError(
                f"`features` must have shape (n, features). Received: shape={features.shape}"
            )
        mean = mean_of(features)
        if not np.isfinite(mean).all():
            raise ValueError("`features` must be finite. Received: a NaN or an infinity")
        kernel = self.projection(features, mean, seed)
        return kernel, -mean @ kernel

    def check_features(self, shape: tuple[int, int]) -> None:
        """Refuses features that are too few, or have too few dimensions; others take any.

        Args:
            shape: (n, features).

        Raises:
            ValueError: if the bits need more.
        """

    def projection(self, features: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
        """W, to be implemented by the subclass: float64, shape (features, bits)."""
        raise NotImplementedError(f"{type(self).__name__} must implement `projection`.")


_BLOCK = 8192  # rows at a time


def mean_of(features: np.ndarray) -> np.ndarray:
    """Mean of the rows, in float64 and by blocks: (n, D) → (D,)."""
    total = np.zeros(features.shape[1])
    for start in range(0, len(features), _BLOCK):
        total += features[start : start + _BLOCK].sum(axis=0, dtype="float64")
    return total / len(features)


def principal_directions(features: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Orthonormal directions of largest variance, the largest first, as columns.

    They are eigenvectors of the covariance, which is summed in float64 by blocks of rows. The
    largest component of each is positive, so that the same features give the same directions.

    Args:
        features: shape (n, D).
        mean: of the rows, shape (D,).
        count: number of directions.

    Returns:
        float64, shape (D, count).

    Raises:
        ValueError: if there are fewer dimensions, or fewer rows, than directions.
    """
    check_directions(features.shape, count)
    rows, dimensions = features.shape
    scatter = np.zeros((dimensions, dimensions))
    for start in range(0, rows, _BLOCK):
        block = features[start : start + _BLOCK].astype("float64") - mean
        scatter += block.T @ block
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(count)])


def check_directions(shape: tuple[int, ...], count: int) -> None:
    """Refuses features, by their shape, that have fewer principal directions."""
    if min(shape[0] - 1, shape[1]) < count:
        raise ValueError(
            f"`features` must have at least {count} dimensions and {count + 1} rows for {count} "
            f"bits: each bit is a principal direction. Received: shape={tuple(shape)}"
        )


def project(
    features: np.ndarray, rows: np.ndarray, mean: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """(x - mean) W of the rows at these positions, by blocks: float64, shape (m, count)."""
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return np.concatenate([(features[block] - mean) @ directions for block in blocks])
