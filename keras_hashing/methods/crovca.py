"""CroVCA as a method."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_not_negative, check_positive
from keras_hashing.losses.inputs import unit_length
from keras_hashing.methods.two_view_method import TwoViewMethod

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class CroVCA(TwoViewMethod):
    """CroVCA: each view predicts the bits of the other; the coding rate keeps codes apart.

        L_i = 1/K Σ_k BCE(σ(u_ik), [u'_ik > 0])  -  λ R(U)
        R(U) = (K + n) / (K n) · 1/2 log det(I + K / (n ε) Zᵀ Z)

    u' is the code of the other view, whose bits take no gradient; U are the codes of all n images
    of the global batch in the view of u, and the rows of Z are those of U at length 1. The rate is
    large where the codes fill all directions and small where they collapse.

    Bits are balanced by batch normalization before the sign, so the default head of
    `keras_hashing.models.HashingModel` has it for this method. There is no native quantization.

    Source: Moummad, Zaher, Goëau, Joly, "Image Hashing via Cross-View Code Alignment in the Age of
    Foundation Models", arXiv 2510.27584. Rate, λ and ε are those of its published code, which
    normalizes each view of a batch by itself; here both views are normalized together, since they
    go through the network at once.

    Args:
        bits: K, the length of the code.
        num_classes: not used.
        rate_weight: λ, at least 0.
        epsilon: ε, positive.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    normalizes_codes = True

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        rate_weight: float = 0.1,
        epsilon: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.rate_weight = check_not_negative("rate_weight", rate_weight)
        self.epsilon = check_positive("epsilon", epsilon)

    def compare_views(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the other view's bits, less the weighted coding rate."""
        return (
            _cross_entropy(first, second) - self.rate_weight * self.coding_rate(first),
            _cross_entropy(second, first) - self.rate_weight * self.coding_rate(second),
        )

    def coding_rate(self, codes: Tensor) -> Tensor:
        """R of the global batch: (batch, bits) → ()."""
        # Where a code is not finite the sample's own loss says so; Cholesky would stop the program.
        finite = ops.all(ops.isfinite(codes), axis=-1, keepdims=True)
        directions = backend.all_gather(unit_length(ops.where(finite, codes, 0.0)))
        samples = ops.cast(ops.maximum(ops.shape(directions)[0], 1), codes.dtype)
        scale = self.bits / (samples * self.epsilon)
        gram = ops.matmul(ops.transpose(directions), directions)
        root = ops.cholesky(ops.eye(self.bits, dtype=codes.dtype) + scale * gram)
        half_log_det = ops.sum(ops.log(ops.diagonal(root)))
        return (self.bits + samples) / (self.bits * samples) * half_log_det

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {
            **super().get_config(),
            "rate_weight": self.rate_weight,
            "epsilon": self.epsilon,
        }


def _cross_entropy(codes: Tensor, other: Tensor) -> Tensor:
    """Mean over the bits of BCE(σ(u), [u' > 0]), in its stable form: (batch,)."""
    signs = ops.where(other > 0, -ops.ones_like(other), ops.ones_like(other))
    return ops.mean(ops.softplus(signs * codes), axis=-1)
