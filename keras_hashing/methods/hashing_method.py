"""Base class of the methods."""

from typing import Any

import keras
from keras import ops

from keras_hashing.layers.hash_head import check_bits
from keras_hashing.losses.inputs import check_codes, check_labels

Tensor = Any


class HashingMethod(keras.layers.Layer):
    """Base class: a similarity objective with the state it needs.

    A method is a layer that `keras_hashing.models.HashingModel` owns, so that its state (a scale,
    a memory, a classifier) trains, is saved and is shown like any other weight. A subclass
    implements `similarity(labels, codes, training)`, and may override

    - `relax(codes)`: the relaxed code that quantization can act on (default: tanh u),
    - `native_quantization()`: the quantization loss of the method's paper (default: none),
    - `native_callbacks()`: the schedules that belong to the native quantization.

    Computation is in float32, whatever the model's dtype policy.

    Args:
        bits: K, the length of the code, a positive multiple of 8.
        num_classes: number of label columns, where the method needs to know it.
        **kwargs: as in `keras.layers.Layer`.
    """

    def __init__(self, bits: int, num_classes: int | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.bits = check_bits(bits)
        self.num_classes = num_classes

    def build(self, labels_shape: tuple, codes_shape: tuple) -> None:
        """The constructor has made all state: its shapes are known by then."""
        self.built = True

    def call(self, labels: Tensor, codes: Tensor, training: bool | None = None) -> Tensor:
        """The similarity objective, one value a sample.

        Args:
            labels: one-hot or multi-hot, shape (batch, classes).
            codes: raw continuous codes, shape (batch, bits).
            training: whether state may change.

        Returns:
            float32 tensor of shape (batch,).
        """
        labels = check_labels(labels, self.num_classes)
        return self.similarity(labels, check_codes(codes), bool(training))

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """The objective, to be implemented by the subclass: (batch,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement `similarity`.")

    def relax(self, codes: Tensor) -> Tensor:
        """The relaxed code: tanh u."""
        return ops.tanh(codes)

    def native_quantization(self) -> keras.losses.Loss | None:
        """The quantization loss of the method's own paper, if it is a loss."""
        return None

    def native_callbacks(self) -> list[keras.callbacks.Callback]:
        """New callbacks that carry out the native quantization, if it is a schedule."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "bits": self.bits, "num_classes": self.num_classes}
