"""DPSH as a method."""

import keras

from keras_hashing import losses
from keras_hashing.methods.pairwise_method import PairwiseMethod


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class DPSH(PairwiseMethod):
    """Deep pairwise-supervised hashing (Li, Wang, Kang, IJCAI 2016).

    Objective: `keras_hashing.losses.DPSH` on the raw code. Native quantization:
    η‖u - sign u‖², as `SignDistance`. The published code keeps a code for every training sample;
    `memory_size` sets how many are kept here.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns; needed when there is a memory.
        memory_size: number of recent codes that the batch is compared with, beside itself.
        **kwargs: as in `keras.layers.Layer`.
    """

    def objective(self) -> losses.DPSH:
        """The pairwise likelihood."""
        return losses.DPSH()

    def native_quantization(self) -> keras.losses.Loss:
        """‖u - sign u‖² / K."""
        return losses.SignDistance()
