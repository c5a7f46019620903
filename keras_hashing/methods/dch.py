"""DCH as a method."""

from typing import Any

import keras

from keras_hashing import losses
from keras_hashing.methods.pairwise_method import PairwiseMethod


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class DCH(PairwiseMethod):
    """Deep Cauchy hashing (Cao, Long, Liu, Wang, CVPR 2018).

    Objective: `keras_hashing.losses.DCH`, the weighted Cauchy cross-entropy on v = tanh u. Native
    quantization: log(1 + d(|v|, 1) / γ), as `CauchyDistance`, of the relaxed code. Single- and
    multi-label.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns; needed when there is a memory.
        memory_size: number of recent codes that the batch is compared with, beside itself.
        gamma: γ, the scale of the Cauchy distribution.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if `gamma` is not positive.
    """

    native_place = "relaxed"

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        memory_size: int = 0,
        gamma: float = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, memory_size=memory_size, **kwargs)
        self.gamma = gamma
        self.objective()  # checks gamma

    def objective(self) -> losses.DCH:
        """The Cauchy cross-entropy."""
        return losses.DCH(gamma=self.gamma)

    def native_quantization(self) -> keras.losses.Loss:
        """The Cauchy quantization, with the same γ."""
        return losses.CauchyDistance(gamma=self.gamma)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "gamma": self.gamma}
