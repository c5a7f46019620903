"""HSWD: the exact distance of the K marginals to the fair coin on {-1, +1}."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_order
from keras_hashing.losses.inputs import absolute
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss
from keras_hashing.losses.quantization.sample_of_codes import Remembered, SampleOfCodes

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class HashSlicedWasserstein(QuantizationLoss):
    """Hash sliced Wasserstein distance (HSWD), in closed form.

    Matches the distribution of each bit's continuous code over the batch to the uniform
    distribution on {-1, +1}. For one bit with values u_1 … u_n, a median m,
    a = #{u_i > m} and e = #{u_i = m}:

        w_i   = 1 if u_i > m;  0 if u_i < m;  (n/2 - a) / e if u_i = m
        W_p^p = 1/n Σ_i  w_i |u_i - 1|^p + (1 - w_i) |u_i + 1|^p

    w is the optimal transport plan: the upper half of the mass goes to +1, the lower half to -1.
    The loss is the mean of W_p^p over the K bits. The target is not sampled, so the value is
    exact and without noise, and it does not depend on the order of the samples. By the envelope
    theorem w takes no gradient, and the gradient is exact wherever the loss is differentiable.

    Under `tf.distribute` the median is that of the global batch: N replicas with n samples each
    give the value and the gradient of one replica with N·n.

    `distance(codes, remembered)` takes the median over the batch and N - n codes of earlier
    batches: m, a and e are those of all N, w_i = (N/2 - a) / e at the median, and the value is
    that of the batch's own samples, 1/n Σ over the batch. The remembered codes take no gradient.
    The loss itself keeps nothing: see `quantization_memory` of
    `keras_hashing.models.HashingModel` and `keras_hashing.layers.HashHead`.

    Marginals only: K copies of one balanced bit score 0. Watch
    `keras_hashing.metrics.BitCorrelation` beside it; `HashSlicedWassersteinPairs` sees pairs of
    bits, `SlicedWasserstein` and `OptimalTransport` the joint distribution.

    A non-finite code gives a non-finite loss. Sample weights scale a sample's term; the median
    ignores them.

    Source: Doan, Yang, Li, "One Loss for Quantization: Deep Hashing with Discrete Wasserstein
    Distributional Matching", CVPR 2022 (arXiv 2205.15721). Their code draws a random batch of
    ±1 targets and sorts both sides, an upward-biased, noisy estimate of this value.

    Args:
        p: order of the distance, 1 or 2.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `p` is neither 1 nor 2.

    Example:

    >>> loss = keras_hashing.losses.HashSlicedWasserstein()
    >>> codes = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    >>> float(loss(codes, codes))
    0.0
    """

    takes_memory = True

    def __init__(
        self,
        p: int = 2,
        name: str = "hash_sliced_wasserstein",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.p = check_order(p)

    def distance(self, codes: Tensor, remembered: Remembered | None = None) -> Tensor:
        """Transport cost of each sample, averaged over the bits: (batch, bits) → (batch,).

        Args:
            codes: shape (batch, bits).
            remembered: codes of earlier batches that the median is also taken over, shape
                (size, bits), and which of the rows hold one, shape (size,); or `None`.
        """
        sample = SampleOfCodes(codes, remembered)
        up = sample.share_in_top(codes, sample.rows, parts=2)
        if self.p == 1:
            cost = up * absolute(codes - 1) + (1 - up) * absolute(codes + 1)
        else:
            mean_target = 2 * up - 1
            variance_of_target = 1 - ops.square(mean_target)
            cost = ops.square(codes - mean_target) + variance_of_target
        return ops.mean(cost, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "p": self.p}
