"""What every loss asks of its codes and labels."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import UNLABELLED

Tensor = Any

LABEL_ROUNDING = 1e-3  # mixed labels exceed 1, and smoothed ones add up to 1, within this


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
    """Labels as float32, with NaN in place of a value that is no label.

    Args:
        labels: one-hot or multi-hot labels, or soft ones (smoothed, or mixed as by MixUp) with
            values in [0, 1], shape (batch, classes); or class numbers, shape (batch,) or
            (batch, 1). `UNLABELLED`, as the number or as every value of a row, stands for an
            image without labels.
        num_classes: the number of classes, where it is known.

    Returns:
        float32 tensor of shape (batch, classes). Class numbers become one-hot labels where
        `num_classes` is known, and stay numbers of shape (batch, 1) where it is not. Rows without
        labels hold `UNLABELLED`. Another negative value, one above 1, and a number that is no
        class become NaN.

    Raises:
        ValueError: if `labels` are of another shape, or have another number of classes than
            `num_classes`.
    """
    shape = tuple(getattr(labels, "shape", ()))
    if len(shape) not in (1, 2):
        raise ValueError(
            "`y_true` must hold one-hot or multi-hot labels of shape (batch, classes), or class "
            f"numbers of shape (batch,) or (batch, 1). Received: shape={shape}"
        )
    labels = ops.cast(labels, "float32")
    if len(shape) == 1 or shape[1] == 1:
        return _check_class_numbers(ops.reshape(labels, (-1, 1)), num_classes)
    if num_classes is not None and shape[1] is not None and shape[1] != num_classes:
        raise ValueError(
            f"`y_true` must have one column for each of the {num_classes} classes. "
            f"Received: shape={shape}"
        )
    valid = ops.logical_and(labels >= 0, labels <= 1 + LABEL_ROUNDING)
    return _mark_unlabelled(ops.where(valid, labels, float("nan")), labels)


def is_labelled(labels: Tensor) -> Tensor:
    """Which rows have labels, as `check_labels` gives them: (batch, classes) → bool (batch,)."""
    return ops.any(labels != UNLABELLED, axis=-1)


def _mark_unlabelled(checked: Tensor, labels: Tensor) -> Tensor:
    labelled = ops.expand_dims(is_labelled(labels), 1)
    return ops.where(labelled, checked, float(UNLABELLED))


def _check_class_numbers(numbers: Tensor, num_classes: int | None) -> Tensor:
    valid = ops.logical_and(numbers >= 0, numbers == ops.floor(numbers))
    if num_classes is None:
        return _mark_unlabelled(ops.where(valid, numbers, float("nan")), numbers)
    valid = ops.logical_and(valid, numbers < num_classes)
    classes = ops.cast(ops.where(valid, numbers, 0.0), "int32")
    one_hot = ops.one_hot(classes[:, 0], num_classes, dtype="float32")
    return _mark_unlabelled(ops.where(valid, one_hot, float("nan")), numbers)


def nan_where_not_finite(values: Tensor, inputs: Tensor) -> Tensor:
    """Per-sample `values`, but NaN for a sample whose row of `inputs` holds a NaN or an infinity.

    A comparison of labels or the tanh of a code would turn it into a plausible number.
    """
    finite = ops.all(ops.isfinite(inputs), axis=-1)
    return ops.where(finite, values, ops.full_like(values, float("nan")))


def magnitude(codes: Tensor) -> Tensor:
    """|u| of a continuous code, with the gradient of its bit: 1 where u > 0, else -1.

    0 is bit 0, which stands for -1, so a penalty of |u| - 1 pulls a value of exactly 0 to -1. The
    gradient of `ops.abs` at 0 is 0 on TensorFlow, where such a value would stay, and 1 on JAX.
    """
    ones = ops.ones_like(codes)
    return codes * ops.stop_gradient(ops.where(codes > 0, ones, -ones))


def absolute(differences: Tensor) -> Tensor:
    """|x| of a difference, with the gradient 0 at 0, where it is least, on both backends."""
    return differences * ops.stop_gradient(ops.sign(differences))


def unit_length(codes: Tensor) -> Tensor:
    """Codes scaled to Euclidean length 1, shape (batch, bits).

    The largest value is divided out first, so no square overflows or vanishes. A zero code has no
    direction: it stays zero, and takes the gradient that it would have at length 1. An infinite
    value gives NaN.
    """
    size = ops.abs(ops.stop_gradient(codes))
    largest = ops.max(size, axis=-1, keepdims=True, initial=0.0)  # none in an empty batch
    scaled = codes / ops.where(largest == 0, ops.ones_like(largest), largest)
    squared_length = ops.sum(ops.square(scaled), axis=-1, keepdims=True)
    return scaled * ops.rsqrt(ops.where(largest == 0, ops.ones_like(largest), squared_length))
