"""OrthoHash as a method."""

import math
from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_not_negative, check_positive
from keras_hashing.losses.inputs import unit_length
from keras_hashing.methods.hash_centres import hash_centres
from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class OrthoHash(HashingMethod):
    """OrthoHash: cosine softmax with a margin to fixed, orthogonal binary targets.

        z_c = s (cos(u, o_c) - m y_c)
        L   = -Σ_c  y_c / |y| · log softmax(z)_c

    o_c is the ±1 target of class c (`hash_centres`: orthogonal for up to K classes where there is
    a Hadamard matrix), y the one-hot or multi-hot label and |y| its number of labels: with one
    label this is the paper's cross-entropy, with several its label smoothing. An image without
    a label has a loss of 0.

    There is no quantization term: a high cosine with a binary target is a small quantization
    error. Bits are balanced by batch normalization before the sign, so the default head of
    `keras_hashing.models.HashingModel` has it for this method; a head of your own should be a
    `HashHead(bits, batch_normalization=True)`.

    The targets are a weight of this layer, saved with the model; they do not train.

    Source: Hoe, Ng, Zhang, Chan, Song, Xiang, "One Loss for All: Deep Hashing with a Single
    Cosine Similarity based Learning Objective", NeurIPS 2021, section 3. The authors' code draws
    its targets bit by bit, orthogonal only on average, has s = 8 for every K (that is √K at its
    default of 64 bits) and normalizes with a learned scale and offset.

    Args:
        bits: K, the length of the code.
        num_classes: number of classes.
        margin: m, at least 0.
        scale: s, positive; `None` means √K.
        seed: integer seed of the targets.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if an argument breaks its rule, or there are not so many targets.
    """

    needs_num_classes = True
    normalizes_codes = True

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        margin: float = 0.2,
        scale: float | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.margin = check_not_negative("margin", margin)
        self.scale = None if scale is None else check_positive("scale", scale)
        self.seed = seed
        targets = hash_centres(self.num_classes or 0, bits, seed)
        self.targets = self.add_weight(
            name="targets",
            shape=targets.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(targets, dtype=dtype),
            trainable=False,
            aggregation="only_first_replica",
        )

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """Cross-entropy of the labels: (batch,)."""
        targets = ops.convert_to_tensor(self.targets) / math.sqrt(self.bits)
        cosines = ops.matmul(unit_length(codes), ops.transpose(targets))
        scale = math.sqrt(self.bits) if self.scale is None else self.scale
        log_probabilities = ops.log_softmax(scale * (cosines - self.margin * labels))
        number_of_labels = ops.sum(labels, axis=-1, keepdims=True)
        shares = labels / ops.where(number_of_labels > 0, number_of_labels, 1.0)
        return -ops.sum(shares * log_probabilities, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {
            **super().get_config(),
            "margin": self.margin,
            "scale": self.scale,
            "seed": self.seed,
        }
