"""The smooth absolute distance of each code to its own sign."""

import math
from typing import Any

import keras
from keras import ops

from keras_hashing.losses.inputs import absolute, magnitude
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
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def __init__(self, name: str = "log_cosh_distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def distance(self, codes: Tensor) -> Tensor:
        """(batch, bits) → (batch,), in the form that does not overflow."""
        x = absolute(magnitude(codes) - 1)
        return ops.mean(x + ops.softplus(-2 * x) - math.log(2), axis=-1)
