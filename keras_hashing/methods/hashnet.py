"""HashNet as a method."""

from typing import Any

import keras
from keras import ops

from keras_hashing import losses
from keras_hashing.callbacks.scale_continuation import ScaleContinuation
from keras_hashing.methods.pairwise_method import PairwiseMethod

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class HashNet(PairwiseMethod):
    """HashNet: deep learning to hash by continuation (Cao, Long, Wang, Yu, ICCV 2017).

    Objective: `keras_hashing.losses.HashNet`, the weighted likelihood on v = tanh(βu).
    Quantization acts on u (`"raw"`) or on v (`"relaxed"`). Native quantization: β grows while
    training, so that v approaches sign u (`keras_hashing.callbacks.ScaleContinuation`).

    β is a weight of this layer: it is saved with the model, and a callback can set it.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns; needed when there is a memory.
        memory_size: number of recent codes that the batch is compared with, beside itself.
        alpha: α of the likelihood; `None` means 10 / bits.
        beta: initial β.
        **kwargs: as in `keras.layers.Layer`.
    """

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        memory_size: int = 0,
        alpha: float | None = None,
        beta: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, memory_size=memory_size, **kwargs)
        self.alpha = alpha
        self.initial_beta = beta
        self.objective()  # checks alpha and beta
        self.beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(beta),
            trainable=False,
            aggregation="only_first_replica",
        )

    def objective(self) -> losses.HashNet:
        """The weighted pairwise likelihood."""
        return losses.HashNet(alpha=self.alpha, beta=self.initial_beta)

    def relax(self, codes: Tensor) -> Tensor:
        """v = tanh(βu), with the current β."""
        return ops.tanh(ops.convert_to_tensor(self.beta) * codes)

    def similarity_code(self, codes: Tensor) -> Tensor:
        """√α v, whose inner products are α v·v'."""
        return self.objective().scale(self.relax(codes))

    def native_callbacks(self) -> list[keras.callbacks.Callback]:
        """The growth of β, with the schedule of the authors' code."""
        return [ScaleContinuation()]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.initial_beta}
