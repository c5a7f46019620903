"""The distance of each code to its own sign."""

from typing import Any

import keras
from keras import ops

from keras_hashing.losses.inputs import magnitude
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class SignDistance(QuantizationLoss):
    """Mean squared distance of continuous codes to their own signs.

        1/K ‖u - sign u‖²,   sign 0 = -1

    The native quantization penalty of DPSH (Li, Wang, Kang, IJCAI 2016, eq. 6; there a sum over
    bits). It pulls each value to ±1 and does nothing for the balance of a bit.

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def __init__(self, name: str = "sign_distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def distance(self, codes: Tensor) -> Tensor:
        """Mean of (|u| - 1)², which is (u - sign u)²: (batch, bits) → (batch,)."""
        return ops.mean(ops.square(magnitude(codes) - 1), axis=-1)
