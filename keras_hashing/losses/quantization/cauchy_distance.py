"""The Cauchy quantization loss."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_positive
from keras_hashing.losses.inputs import magnitude, unit_length
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class CauchyDistance(QuantizationLoss):
    """Logarithm of the Cauchy distance between |u| and the vector of ones.

        log(1 + d / γ),   d = K/2 (1 - cos(|u|, 1))

    It asks that the values of a code have one magnitude, and leaves open which: the cosine does
    not see the length. The native quantization of DCH: Cao, Long, Liu, Wang, "Deep Cauchy
    Hashing for Hamming Space Retrieval", CVPR 2018, eq. 9. The authors' code has
    mean (|u| - 1)² in its place.

    Args:
        gamma: γ, the scale of the Cauchy distribution, as in `keras_hashing.losses.DCH`.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `gamma` is not positive.
    """

    def __init__(
        self,
        gamma: float = 20.0,
        name: str = "cauchy_distance",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.gamma = check_positive("gamma", gamma)

    def distance(self, codes: Tensor) -> Tensor:
        """(batch, bits) → (batch,)."""
        bits = codes.shape[-1]
        cosine = ops.sum(unit_length(magnitude(codes)), axis=-1) / bits**0.5
        # Rounding can take the cosine of a perfect code past 1.
        return ops.log1p(bits / 2 * ops.maximum(1 - cosine, 0) / self.gamma)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "gamma": self.gamma}
