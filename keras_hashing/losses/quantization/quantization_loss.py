"""Base class of the quantization losses."""

from typing import Any

import keras
from keras import ops

from keras_hashing.losses.inputs import check_codes
from keras_hashing.losses.quantization.sample_of_codes import Remembered

Tensor = Any


class QuantizationLoss(keras.losses.Loss):
    """Base class: how far continuous codes are from binary ones.

    A subclass implements `distance(codes)`: (batch, bits) → (batch,), one value per sample, so
    that reductions and sample weights of Keras keep their meaning. `y_true` plays no part.

    A subclass with `takes_memory = True` implements `distance(codes, remembered=None)`, where
    `remembered` are codes of earlier batches and which of their rows hold one.

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    takes_memory: bool = False

    def call(self, y_true: Tensor, y_pred: Tensor, remembered: Remembered | None = None) -> Tensor:
        """One value per sample.

        Args:
            y_true: ignored.
            y_pred: continuous codes, shape (batch, bits).
            remembered: for a loss that takes them: codes of earlier batches, shape (size, bits),
                and which rows hold one, shape (size,).

        Returns:
            Tensor of shape (batch,). An empty batch gives an empty tensor.
        """
        codes = check_codes(y_pred)
        if codes.shape[0] == 0:
            return ops.zeros((0,), dtype=codes.dtype)
        if remembered is None:
            return self.distance(codes)
        return self.distance(codes, remembered)  # type: ignore[call-arg]

    def distance(self, codes: Tensor) -> Tensor:
        """The distance of each sample, to be implemented by the subclass."""
        raise NotImplementedError(f"{type(self).__name__} must implement `distance(codes)`.")
