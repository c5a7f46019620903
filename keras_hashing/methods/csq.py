"""CSQ as a method."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hashing import losses
from keras_hashing.methods.hash_centres import hash_centres
from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class CSQ(HashingMethod):
    """Central similarity quantization: each bit is classified as that of a fixed hash centre.

        h  = (1 + tanh u) / 2 = σ(2u), in (0, 1)
        L  = -1/K Σ_k  c_k log h_k + (1 - c_k) log(1 - h_k)

    c, in {0, 1}^K, is the hash centre of the image's class (`hash_centres`). With several labels
    it is the sign of the sum of their centres; bits at which the sum is 0 are those of one random
    code, drawn once from `seed`. An image without a label has no centre, and its loss is 0.

    Native quantization: log cosh(|2h - 1| - 1), which is `LogCoshDistance` of the relaxed code
    tanh u = 2h - 1.

    Centres and random code are weights of this layer, saved with the model; they do not train.

    Source: Yuan, Wang, Zhang, Tay, Jie, Liu, Feng, "Central Similarity Quantization for Efficient
    Image and Video Retrieval", CVPR 2020, section 3. The authors' code has mean (|v| - 1)² as
    quantization, adds HashNet's pairwise loss to some runs, and reads its centres from files.

    Args:
        bits: K, the length of the code.
        num_classes: number of classes.
        seed: integer seed of the centres and of the random code that decides ties.
        random_rows: whether centres are random rows of a Hadamard matrix, or its first ones, which
            is what widespread code takes: see `hash_centres`.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if there are not so many centres of that length.
    """

    native_place = "relaxed"
    needs_num_classes = True

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        seed: int = 0,
        random_rows: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.seed = seed
        self.random_rows = random_rows
        centres = hash_centres(self.num_classes or 0, bits, seed, random_rows)
        tie_code = np.random.default_rng([seed, 1]).choice([-1.0, 1.0], bits)

        def add(name: str, value: np.ndarray) -> Any:
            return self.add_weight(
                name=name,
                shape=value.shape,
                initializer=lambda shape, dtype=None: ops.convert_to_tensor(value, dtype=dtype),
                trainable=False,
                aggregation="only_first_replica",
            )

        self.centres = add("centres", centres)
        self.tie_code = add("tie_code", tie_code)

    def centre_of(self, labels: Tensor) -> Tensor:
        """The ±1 centre of each image: (batch, classes) → (batch, bits)."""
        votes = ops.matmul(labels, self.centres)
        tie_code = ops.broadcast_to(ops.convert_to_tensor(self.tie_code), ops.shape(votes))
        return ops.where(votes == 0, tie_code, ops.sign(votes))

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """Binary cross-entropy of the bits, in its stable softplus form: (batch,)."""
        # -log σ(2u) where the bit is 1, -log(1 - σ(2u)) = -log σ(-2u) where it is 0.
        values = ops.mean(ops.softplus(-2 * self.centre_of(labels) * codes), axis=-1)
        return ops.where(ops.any(labels != 0, axis=-1), values, ops.zeros_like(values))

    def native_quantization(self) -> keras.losses.Loss:
        """log cosh(|2h - 1| - 1), the mean over the bits."""
        return losses.LogCoshDistance()

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "seed": self.seed, "random_rows": self.random_rows}
