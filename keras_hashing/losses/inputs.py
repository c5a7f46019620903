"""What every loss asks of its codes and labels."""

from typing import Any

import keras
from keras import ops

Tensor = Any


def check_codes(codes: Tensor, argument: str = "y_pred") -> Tensor:
    """Continuous codes in at least float32.

    Args:
        codes: tensor of shape (batch, bits). Half precision is widened, so that ties and order
            are decided in float32.
        argument: name used in the error.

    Returns:
        float32 or float64 tensor of shape (batch, bits).

    Raises:
        ValueError: if `codes` is not of rank 2.
    """
    if len(codes.shape) != 2:
        raise ValueError(
            f"`{argument}` must hold continuous codes of shape (batch, bits). "
            f"Received: shape={tuple(codes.shape)}"
        )
    wide = keras.backend.standardize_dtype(codes.dtype) == "float64"
    return codes if wide else ops.cast(codes, "float32")


def check_labels(labels: Tensor, num_classes: int | None = None) -> Tensor:
    """One-hot or multi-hot labels as float32.

    Args:
        labels: tensor of shape (batch, classes).
        num_classes: the number of classes, where it is known.

    Returns:
        float32 tensor of shape (batch, classes).

    Raises:
        ValueError: if `labels` are not of rank 2, have fewer than two classes or another number
            of classes than `num_classes`.
    """
    shape = tuple(getattr(labels, "shape", ()))
    if len(shape) != 2 or shape[1] == 1:
        raise ValueError(
            "`y_true` must hold one-hot or multi-hot labels of shape (batch, classes) with at "
            "least two classes (class numbers become such labels by "
            f"`keras.utils.to_categorical`). Received: shape={shape}"
        )
    if num_classes is not None and shape[1] is not None and shape[1] != num_classes:
        raise ValueError(
            f"`y_true` must have one column for each of the {num_classes} classes. "
            f"Received: shape={shape}"
        )
    return ops.cast(labels, "float32")


def nan_where_not_finite(values: Tensor, inputs: Tensor) -> Tensor:
    """Per-sample `values`, but NaN for a sample whose row of `inputs` holds a NaN or an infinity.

    A comparison of labels or the tanh of a code would turn it into a plausible number.
    """
    finite = ops.all(ops.isfinite(inputs), axis=-1)
    return ops.where(finite, values, ops.full_like(values, float("nan")))


def unit_length(codes: Tensor) -> Tensor:
    """Codes scaled to Euclidean length 1, shape (batch, bits); a zero code stays zero."""
    squared_length = ops.sum(ops.square(codes), axis=-1, keepdims=True)
    return codes * ops.rsqrt(ops.maximum(squared_length, 1e-12))
