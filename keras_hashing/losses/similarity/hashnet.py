"""HashNet's similarity objective."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_positive
from keras_hashing.losses.similarity.pairwise_similarity import (
    PairwiseSimilarity,
    balanced_weights,
)

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class HashNet(PairwiseSimilarity):
    """HashNet: weighted likelihood of the pairs' similarity, on v = tanh(βu).

        θ_ij = α v_i·v_j
        L    = mean over pairs of  w_ij (log(1 + exp θ_ij) - s_ij θ_ij)
        w_ij = S/S1 where s_ij = 1, S/S0 where s_ij = 0

    S1 and S0 count the similar and the dissimilar pairs of the batch, S = S1 + S0: both kinds
    weigh the same, however rare similar pairs are.

    β is fixed here. `keras_hashing.methods.HashNet` lets it grow (continuation), which is
    HashNet's own way to binary codes.

    Source: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017,
    eq. 2-5. The paper also allows a factor for the share of labels that a pair has in common; as
    in the authors' code, all similar pairs count alike here.

    Args:
        alpha: α, the steepness of the likelihood. `None` means 10 / bits, as in the authors'
            code.
        beta: β, the steepness of tanh.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `alpha` or `beta` is not positive.
    """

    def __init__(
        self,
        alpha: float | None = None,
        beta: float = 1.0,
        name: str = "hashnet",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.alpha = None if alpha is None else check_positive("alpha", alpha)
        self.beta = check_positive("beta", beta)

    def similarity_code(self, codes: Tensor) -> Tensor:
        """v = tanh(βu), scaled so that inner products are α v·v'."""
        return self.scale(self.relax(codes))

    def relax(self, codes: Tensor) -> Tensor:
        """The relaxed code v = tanh(βu)."""
        return ops.tanh(self.beta * codes)

    def scale(self, relaxed: Tensor) -> Tensor:
        """√α v, whose inner products are α v·v'."""
        alpha = 10.0 / relaxed.shape[-1] if self.alpha is None else self.alpha
        return alpha**0.5 * relaxed

    def pair_loss(self, inner_products: Tensor, similar: Tensor, bits: int) -> Tensor:
        """softplus(θ) - s θ, with θ the inner product of the scaled codes."""
        return ops.softplus(inner_products) - similar * inner_products

    def pair_weights(self, similar: Tensor, valid: Tensor) -> Tensor:
        """S/S1 and S/S0, counted over the pairs of the global batch."""
        return balanced_weights(similar, valid)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}
