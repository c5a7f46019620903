"""HSWD: the exact distance of the K marginals to the fair coin on {-1, +1}."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_order
from keras_hashing.losses.inputs import absolute
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss

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

    Marginals only: K copies of one balanced bit score 0. Watch
    `keras_hashing.metrics.BitCorrelation` beside it; `SlicedWasserstein` and `OptimalTransport`
    see the joint distribution.

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

    def __init__(
        self,
        p: int = 2,
        name: str = "hash_sliced_wasserstein",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.p = check_order(p)

    def distance(self, codes: Tensor) -> Tensor:
        """Transport cost of each sample, averaged over the bits: (batch, bits) → (batch,)."""
        up = ops.stop_gradient(self._mass_to_plus_one(codes))
        if self.p == 1:
            cost = up * absolute(codes - 1) + (1 - up) * absolute(codes + 1)
        else:
            mean_target = 2 * up - 1
            variance_of_target = 1 - ops.square(mean_target)
            cost = ops.square(codes - mean_target) + variance_of_target
        return ops.mean(cost, axis=-1)

    def _mass_to_plus_one(self, codes: Tensor) -> Tensor:
        """w of the class docstring, shape (batch, bits)."""
        batch = backend.all_gather(ops.stop_gradient(codes))
        median = backend.lower_median(batch)
        above = ops.sum(ops.cast(batch > median, codes.dtype), axis=0)
        tied = ops.sum(ops.cast(batch == median, codes.dtype), axis=0)
        half = ops.cast(ops.shape(batch)[0], codes.dtype) / 2
        share_of_tied = (half - above) / ops.maximum(tied, 1)
        return ops.where(codes == median, share_of_tied, ops.cast(codes > median, codes.dtype))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "p": self.p}
