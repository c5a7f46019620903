"""The cubed distance of each code to its own sign."""

from typing import Any

import keras
from keras import ops

from keras_hashing.losses.inputs import absolute, magnitude
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class CubicDistance(QuantizationLoss):
    """Mean cubed distance of continuous codes to their own signs.

        1/K ‖u - sign u‖₃³ = mean over the bits of ||u| - 1|³

    The native quantization of GreedyHash: Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast
    Optimization for Accurate Hash Coding in CNN", NeurIPS 2018, the penalty with p = 3 that
    keeps the straight-through gradient honest. The authors' code takes the same mean.

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def __init__(self, name: str = "cubic_distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def distance(self, codes: Tensor) -> Tensor:
        """(batch, bits) → (batch,)."""
        x = absolute(magnitude(codes) - 1)
        return ops.mean(x * ops.square(x), axis=-1)
