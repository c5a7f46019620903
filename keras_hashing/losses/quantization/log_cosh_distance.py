"""The smooth absolute distance of each code to its own sign."""

import math
from typing import Any

import keras
from keras import ops

from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class LogCoshDistance(QuantizationLoss):
    """Mean over the bits of log cosh(|u| - 1), a smooth ||u| - 1|.

    The native quantization of DHN (Zhu, Long, Wang, Cao, AAAI 2016: the prior of a bimodal
    Laplacian, smoothed) and, in other letters, of CSQ (Yuan et al., CVPR 2020): for h in (0, 1)
    the latter is log cosh(|2h - 1| - 1), which is this loss of 2h - 1 = tanh u. Both papers sum
    over the bits, and the published code of both squares: mean (|v| - 1)².

    Args:
        reduction: as in `keras.losses.Loss`.
        name: optional name.
        dtype: dtype of the computation; half precision is widened to float32.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "log_cosh_distance",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def distance(self, codes: Tensor) -> Tensor:
        """(batch, bits) → (batch,), in the form that does not overflow."""
        x = ops.abs(ops.abs(codes) - 1)
        return ops.mean(x + ops.softplus(-2 * x) - math.log(2), axis=-1)
