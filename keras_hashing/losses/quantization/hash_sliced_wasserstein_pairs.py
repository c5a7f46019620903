"""HSWD of the bits, and of the sums and differences of pairs of bits."""

import math
from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_not_negative
from keras_hashing.losses.quantization.hash_sliced_wasserstein import HashSlicedWasserstein
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss
from keras_hashing.losses.quantization.sample_of_codes import Remembered, SampleOfCodes
from keras_hashing.losses.quantization.seed_of_batch import seed_of_batch

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class HashSlicedWassersteinPairs(QuantizationLoss):
    """HSWD with a term for pairs of bits, both in closed form.

        loss = HSWD + pairs_weight · pairs

    For two independent fair bits the sum and the difference over √2 are -√2, 0 and √2 with
    probability ¼, ½ and ¼. With T = (u_k + u_l) / √2 or (u_k - u_l) / √2 over the batch, the
    lowest quarter of its mass goes to -√2, the highest quarter to √2, the rest to 0:

        W_2^2 = 1/n Σ_i  w⁻_i (T_i + √2)² + (1 - w⁻_i - w⁺_i) T_i² + w⁺_i (T_i - √2)²

    where w⁻_i and w⁺_i are the shares of sample i in those quarters; tied samples share alike,
    so the value is exact for any n and with ties. `pairs` is the mean of W_2^2 over the sums and
    differences of the pairs. The bits are matched in pairs at random, anew at every step, from
    `seed` and the batch itself, so that codes which differ by rounding (on another device, under
    replicas or XLA) may draw another matching; of an odd number of bits one is left out, and of
    one bit `pairs` is 0. The cost is O(nK log n), like that of HSWD.

    For codes of {-1, +1}, `pairs` is 0 exactly where both bits of each pair are balanced and
    independent of each other, and 1 where they are copies: copies of one balanced bit, whose
    HSWD is 0, cost `pairs_weight`. Bits that are independent in pairs can still depend on each
    other in threes.

    The shares w are those of the global batch under `tf.distribute`, and of the batch and
    `remembered` codes as in `HashSlicedWasserstein`.

    Args:
        pairs_weight: weight of the term for pairs beside HSWD, at least 0.
        seed: integer seed of the matching.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `pairs_weight` is negative or not finite.
    """

    takes_memory = True

    def __init__(
        self,
        pairs_weight: float = 1.0,
        seed: int = 0,
        name: str = "hash_sliced_wasserstein_pairs",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pairs_weight = check_not_negative("pairs_weight", pairs_weight)
        self.seed = seed
        self._marginals = HashSlicedWasserstein()

    def distance(self, codes: Tensor, remembered: Remembered | None = None) -> Tensor:
        """HSWD of each sample plus the weighted term for pairs: (batch, bits) → (batch,)."""
        marginals = self._marginals.distance(codes, remembered)
        if codes.shape[-1] < 2:
            return marginals
        sample = SampleOfCodes(codes, remembered)
        order = self.draw(sample.batch)
        rows = _sums_and_differences(sample.rows, order)
        # Shares come from one array: that of `codes`, computed apart, may be rounded otherwise
        # (under XLA), and the threshold would not be found in it.
        first = backend.first_row(codes)
        own = slice(first, first + ops.shape(codes)[0])
        up = sample.share_in_top(rows, rows, parts=4)[own]
        down = sample.share_in_top(-rows, -rows, parts=4)[own]
        values = _sums_and_differences(codes, order)
        mean_target = math.sqrt(2) * (up - down)
        variance_of_target = 2 * (up + down) - ops.square(mean_target)
        cost = ops.square(values - mean_target) + variance_of_target
        return marginals + self.pairs_weight * ops.mean(cost, axis=-1)

    def draw(self, batch: Tensor) -> Tensor:
        """The random order of the bits, int32 (bits,): the first half is matched with the second.

        Args:
            batch: the global batch, shape (n, bits).
        """
        seed = seed_of_batch(self.seed, batch)
        return ops.argsort(backend.stateless_normal((batch.shape[-1],), seed))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "pairs_weight": self.pairs_weight, "seed": self.seed}


def _sums_and_differences(codes: Tensor, order: Tensor) -> Tensor:
    """(rows, bits) → (rows, 2 · (bits // 2)), each of variance 1 for independent fair bits."""
    half = codes.shape[-1] // 2
    first = ops.take(codes, order[:half], axis=1)
    second = ops.take(codes, order[half : 2 * half], axis=1)
    return ops.concatenate([first + second, first - second], axis=1) / math.sqrt(2)
