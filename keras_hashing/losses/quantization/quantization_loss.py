"""Base class of the quantization losses."""

from typing import Any

import keras
from keras import ops

from keras_hashing.losses.inputs import check_codes

Tensor = Any


class QuantizationLoss(keras.losses.Loss):
    """Base class: how far continuous codes are from binary ones.

    A subclass implements `distance(codes)`: (batch, bits) → (batch,), one value a sample, so
    that reductions and sample weights of Keras keep their meaning. `y_true` plays no part.

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value a sample.

        Args:
            y_true: ignored.
            y_pred: continuous codes, shape (batch, bits).

        Returns:
            Tensor of shape (batch,). An empty batch gives an empty tensor.
        """
        codes = check_codes(y_pred)
        if codes.shape[0] == 0:
            return ops.zeros((0,), dtype=codes.dtype)
        return self.distance(codes)

    def distance(self, codes: Tensor) -> Tensor:
        """The distance of each sample, to be implemented by the subclass."""
        raise NotImplementedError(f"{type(self).__name__} must implement `distance(codes)`.")
