"""The distance of each code to a binary code that a method has chosen for it."""

from typing import Any

import keras
from keras import ops

from keras_hashing.losses.inputs import check_codes
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class TargetDistance(QuantizationLoss):
    """Mean squared distance of continuous codes to given binary codes.

        1/K ‖b - u‖²

    Unlike the other quantization losses it reads `y_true`, which holds b: what
    `keras_hashing.methods.HashingMethod.native_targets` gives, where this is a method's native
    quantization. That of DSDH (Li, Sun, He, Tan, NeurIPS 2017; there a sum over the bits).

    Args:
        reduction: as in `keras.losses.Loss`.
        name: optional name.
        dtype: dtype of the computation; half precision is widened to float32.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "target_distance",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value a sample.

        Args:
            y_true: binary codes, shape (batch, bits); they take no gradient.
            y_pred: continuous codes, shape (batch, bits).

        Returns:
            Tensor of shape (batch,).

        Raises:
            ValueError: if the two have not the same number of bits.
        """
        codes = check_codes(y_pred)
        targets = ops.stop_gradient(ops.cast(check_codes(y_true, "y_true"), codes.dtype))
        if targets.shape[-1] != codes.shape[-1]:
            raise ValueError(
                "`y_true` must hold a binary code for each code of `y_pred`. Received shapes: "
                f"y_true={tuple(targets.shape)}, y_pred={tuple(codes.shape)}"
            )
        return ops.mean(ops.square(targets - codes), axis=-1)
