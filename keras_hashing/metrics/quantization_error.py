"""How far continuous codes are from their signs."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class QuantizationError(keras.metrics.Mean):
    """Mean over samples and bits of (u - sign u)², sign 0 = -1.

    Args:
        name: name in the logs.
        dtype: dtype of the state.

    Call arguments of `update_state`:
        y_true: ignored.
        y_pred: continuous codes, shape (batch, bits).
        sample_weight: optional, shape (batch,).
    """

    def __init__(self, name: str = "quantization_error", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Adds a batch of codes."""
        codes = ops.cast(ops.convert_to_tensor(y_pred), self.dtype)
        error = ops.mean(ops.square(ops.abs(codes) - 1), axis=-1)
        super().update_state(error, sample_weight=sample_weight)
