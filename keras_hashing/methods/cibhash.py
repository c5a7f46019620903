"""CIBHash as a method."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_not_negative
from keras_hashing.layers.binarize import Binarize
from keras_hashing.methods.two_view_method import TwoViewMethod, check_temperature, nt_xent

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class CIBHash(TwoViewMethod):
    """CIBHash: contrastive learning of binary codes with an information bottleneck; no labels.

        p   = σ(u), the probability that a bit is 1;   b = sign(p - 1/2),  ∂L/∂p := ∂L/∂b
        L_i = ℓ_i + β KL(p_i ‖ p_i')
        KL(p ‖ q) = Σ_k  p_k log (p_k / q_k) + (1 - p_k) log ((1 - p_k) / (1 - q_k))

    ℓ is `nt_xent` of the binary codes b, and p_i' belongs to the other view of the image; it takes
    no gradient. The second term bounds the mutual information of image and code, so that the code
    keeps what the views share.

    The relaxed code is 2p - 1 = tanh(u/2). There is no native quantization.

    Source: Qiu, Su, Ou, Yu, Chen, "Unsupervised Hashing with Contrastive Information Bottleneck",
    IJCAI 2021, arXiv 2105.06138. The paper draws b from the Bernoulli distribution p; its
    published code takes the more probable value, as here, and has these τ and β.

    Args:
        bits: K, the length of the code.
        num_classes: not used.
        temperature: τ, positive.
        beta: β, at least 0.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        temperature: float = 0.3,
        beta: float = 0.001,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.temperature = check_temperature(temperature)
        self.beta = check_not_negative("beta", beta)
        self.binarize = Binarize(dtype="float32")

    def relax(self, codes: Tensor) -> Tensor:
        """2σ(u) - 1 = tanh(u/2)."""
        return ops.tanh(codes / 2)

    def compare_views(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """NT-Xent of the binary codes, and the divergence of the views' distributions."""
        binary = self._binary_code(first), self._binary_code(second)
        values = nt_xent(*binary, self.temperature)
        return (
            values[0] + self.beta * _divergence(first, second),
            values[1] + self.beta * _divergence(second, first),
        )

    def _binary_code(self, codes: Tensor) -> Tensor:
        # σ(u) - 1/2 rounds to 0 for a tiny u > 0, and its sign would be lost: u decides the bit.
        probabilities = ops.sigmoid(codes)
        sign = ops.stop_gradient(self.binarize(codes))
        return sign + (probabilities - ops.stop_gradient(probabilities))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "temperature": self.temperature, "beta": self.beta}


def _divergence(logits: Tensor, other: Tensor) -> Tensor:
    """KL(σ(u) ‖ σ(u')) of two independent Bernoulli vectors: (batch,). u' takes no gradient."""
    other = ops.stop_gradient(other)
    # log σ(u) = -softplus(-u), log (1 - σ(u)) = -softplus(u)
    of_one = ops.softplus(-other) - ops.softplus(-logits)
    of_zero = ops.softplus(other) - ops.softplus(logits)
    return ops.sum(ops.sigmoid(logits) * of_one + ops.sigmoid(-logits) * of_zero, axis=-1)
