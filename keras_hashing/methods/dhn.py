"""DHN as a method."""

import keras

from keras_hashing import losses
from keras_hashing.methods.pairwise_method import PairwiseMethod


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class DHN(PairwiseMethod):
    """Deep hashing network (Zhu, Long, Wang, Cao, AAAI 2016).

    Objective: `keras_hashing.losses.DHN`, DPSH's likelihood on v = tanh u. Native quantization:
    log cosh(|v| - 1), as `LogCoshDistance`, of the relaxed code. Single- and multi-label.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns; needed when there is a memory.
        memory_size: number of recent codes that the batch is compared with, beside itself.
        **kwargs: as in `keras.layers.Layer`.
    """

    native_place = "relaxed"

    def objective(self) -> losses.DHN:
        """The pairwise likelihood of tanh u."""
        return losses.DHN()

    def native_quantization(self) -> keras.losses.Loss:
        """log cosh(|v| - 1), the mean over the bits."""
        return losses.LogCoshDistance()
