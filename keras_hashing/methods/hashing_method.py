"""Base class of the methods."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hashing.checks import UNLABELLED, check_bits, check_integer
from keras_hashing.losses.inputs import (
    LABEL_ROUNDING,
    check_codes,
    check_labels,
    is_labelled,
    nan_where_not_finite,
)

Tensor = Any


class HashingMethod(keras.layers.Layer):
    """Base class: a similarity objective with the state it needs.

    A method is a layer that `keras_hashing.models.HashingModel` owns, so that its state (a scale,
    a memory, a classifier) trains, is saved and is shown like any other weight. A subclass
    implements `similarity(labels, codes, training)`, and may override

    - `relax(codes)`: the relaxed code that quantization can act on (default: tanh u),
    - `native_quantization()`: the quantization loss of the method's paper (default: none),
    - `native_targets(labels, codes)`: what that loss gets as `y_true`,
    - `native_callbacks()`: the schedules that belong to the native quantization,

    and the class attributes

    - `native_place`: the code that the paper's own quantization acts on, `"raw"` or `"relaxed"`,
    - `needs_labels`: whether it learns from labels; else it may get `None` for them,
    - `views`: how many views of each image a training batch holds (see `TwoViewMethod`),
    - `reconstructs`: whether it gets the model's input in place of labels (see `DCWAE`),
    - `trains`: whether there is something to train (see `ClosedFormMethod`),
    - `needs_num_classes`: whether the method keeps something for each class,
    - `normalizes_codes`: whether the model's default head has batch normalization,
    - `single_label_only`: why the method is not defined for several labels per image, if so.

    Computation is in float32, whatever the model's dtype policy. A sample without labels, whose row
    or number is -1, has a loss of 0 and changes no other's; `similarity` sees its row of -1. A
    sample with a non-finite code, with another label outside of [0, 1] or a number that is no
    class, and one with several labels where the method takes one, has a NaN loss.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns, where the method needs to know it.
        memory_size: for methods that compare pairs: see `PairwiseMethod`.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    native_place: str = "raw"
    needs_labels: bool = True
    views: int = 1
    reconstructs: bool = False
    trains: bool = True
    needs_num_classes: bool = False
    normalizes_codes: bool = False
    single_label_only: str | None = None

    def __init__(
        self, bits: int, num_classes: int | None = None, memory_size: int = 0, **kwargs: Any
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        kwargs.setdefault("autocast", False)  # inputs keep their precision under a mixed policy
        super().__init__(**kwargs)
        self.bits = check_bits(bits)
        if num_classes is None and self.needs_num_classes:
            raise ValueError(
                f"`num_classes` must be given: {type(self).__name__} keeps weights for each class. "
                "Received: num_classes=None"
            )
        if num_classes is not None:
            rule = "an integer of at least 2"
            num_classes = check_integer("num_classes", num_classes, 2, None, rule)
        if memory_size:
            raise ValueError(
                f"`memory_size` must be 0: {type(self).__name__} compares no pairs, so it has no "
                f"use for a memory of codes. Received: memory_size={memory_size}"
            )
        self.num_classes = num_classes

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """A weight that a mixed dtype policy does not read in half precision."""
        kwargs.setdefault("autocast", False)
        return super().add_weight(*args, **kwargs)

    def build(self, labels_shape: tuple | None = None, codes_shape: tuple | None = None) -> None:
        """The constructor has made all state: its shapes are known by then."""
        self.built = True

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Nothing is left to build, whatever shapes a saved model names, of both inputs or one."""
        self.built = True

    def call(self, labels: Tensor, codes: Tensor, training: bool | None = None) -> Tensor:
        """The similarity objective, one value per sample.

        Args:
            labels: one-hot, multi-hot or soft, shape (batch, classes), or class numbers, shape
                (batch,) or (batch, 1); see `keras_hashing.losses.PairwiseSimilarity`.
            codes: raw continuous codes, shape (batch, bits).
            training: whether state may change.

        Returns:
            float32 tensor of shape (batch,).
        """
        labels = check_labels(labels, self.num_classes)
        codes = check_codes(codes)
        values = self.similarity(labels, codes, bool(training))
        values = ops.where(is_labelled(labels), values, ops.zeros_like(values))
        values = nan_where_not_finite(nan_where_not_finite(values, codes), labels)
        if self.single_label_only is None:
            return values
        one_label = ops.abs(ops.sum(labels, axis=-1) - 1) < LABEL_ROUNDING
        defined = ops.logical_or(one_label, ops.logical_not(is_labelled(labels)))
        return ops.where(defined, values, ops.full_like(values, float("nan")))

    def check_kind_of_labels(self, labels: np.ndarray) -> None:
        """Refuses labels that the method is not defined for, before anything is trained on them.

        Args:
            labels: one-hot, multi-hot or soft, shape (n, classes), or class numbers; -1 for images
                without labels.

        Raises:
            ValueError: if a value is no label, or images have several labels or none where the
                method is for one label per image.
        """
        labels = np.asarray(labels)
        if labels.ndim == 1 or labels.shape[1] == 1:
            return _check_class_numbers(labels[labels != UNLABELLED], self.num_classes)
        labelled = (labels != UNLABELLED).any(axis=1)
        invalid = labelled[:, None] & ~((labels >= 0) & (labels <= 1 + LABEL_ROUNDING))
        if invalid.any():
            row, column = np.argwhere(invalid)[0]
            raise ValueError(
                "Labels must be 0 or 1, or between them where they are smoothed or mixed. "
                f"Received: {labels[row, column]} at position ({row}, {column})"
            )
        several = int(np.sum(np.abs(np.sum(labels[labelled], axis=1) - 1) >= LABEL_ROUNDING))
        if self.single_label_only is not None and several:
            raise ValueError(
                f"{type(self).__name__} needs exactly one label per image: "
                f"{self.single_label_only}. Received: {several} images with none or several"
            )

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """The objective, to be implemented by the subclass: (batch,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement `similarity`.")

    def relax(self, codes: Tensor) -> Tensor:
        """The relaxed code: tanh u."""
        return ops.tanh(codes)

    def native_quantization(self) -> keras.losses.Loss | None:
        """The quantization loss of the method's own paper, if it is a loss."""
        return None

    def native_targets(self, labels: Tensor, codes: Tensor) -> Tensor:
        """What the native quantization gets as `y_true`; most ignore it.

        Args:
            labels: one-hot or multi-hot, shape (batch, classes).
            codes: the code that the quantization acts on, shape (batch, bits).

        Returns:
            Tensor of shape (batch, bits).
        """
        return codes

    def native_callbacks(self) -> list[keras.callbacks.Callback]:
        """New callbacks that carry out the native quantization, if it is a schedule."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "bits": self.bits, "num_classes": self.num_classes}


def _check_class_numbers(numbers: np.ndarray, num_classes: int | None) -> None:
    """Raises `ValueError` unless these are whole numbers, from 0 to below `num_classes`."""
    invalid = ~((numbers >= 0) & (numbers == np.floor(numbers)))
    if num_classes is not None:
        invalid |= numbers >= num_classes
    if invalid.any():
        below = "" if num_classes is None else f" to {num_classes - 1}"
        raise ValueError(
            f"Class numbers must be integers from 0{below}. Received: {numbers[invalid].flat[0]}"
        )
