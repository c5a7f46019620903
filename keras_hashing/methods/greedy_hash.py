"""GreedyHash as a method."""

from typing import Any

import keras
from keras import ops

from keras_hashing import losses
from keras_hashing.layers.binarize import Binarize
from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class GreedyHash(HashingMethod):
    """GreedyHash: classification of the binary code, gradient straight through the sign.

        b = sign u,  ∂L/∂u := ∂L/∂b
        L = cross-entropy of the label and softmax(Wᵀ b)

    W is a trainable weight of this layer; as in the authors' code it has no bias. Native
    quantization: mean ||u| - 1|³, as `CubicDistance`, of the raw code.

    One label per image. The paper defines no multi-label objective, and softmax cross-entropy of
    multi-hot labels is wrong: it asks that probabilities that add up to 1 are all 1.

    Source: Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash
    Coding in CNN", NeurIPS 2018, section 3.

    Args:
        bits: K, the length of the code.
        num_classes: number of classes.
        **kwargs: as in `keras.layers.Layer`.
    """

    needs_num_classes = True
    single_label_only = (
        "the paper defines softmax cross-entropy of one label, and none for several; "
        "csq, orthohash and the pairwise methods take several"
    )

    def __init__(self, bits: int, num_classes: int | None = None, **kwargs: Any) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.binarize = Binarize(dtype="float32")
        self.binarize.build((None, bits))
        self.classifier = self.add_weight(
            name="classifier", shape=(bits, num_classes), initializer="glorot_uniform"
        )

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """Cross-entropy of the label: (batch,)."""
        logits = ops.matmul(self.binarize(codes), self.classifier)
        return -ops.sum(labels * ops.log_softmax(logits), axis=-1)

    def native_quantization(self) -> keras.losses.Loss:
        """‖u - sign u‖₃³ / K."""
        return losses.CubicDistance()
