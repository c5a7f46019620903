"""DCH's similarity objective."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_positive
from keras_hashing.losses.inputs import unit_length
from keras_hashing.losses.similarity.pairwise_similarity import (
    PairwiseSimilarity,
    balanced_weights,
)

Tensor = Any

_CLOSEST = 1e-6  # 1 - cos of codes that float32 cannot tell apart


@keras.saving.register_keras_serializable(package="keras_hashing")
class DCH(PairwiseSimilarity):
    """Deep Cauchy hashing: cross-entropy of the pairs' Cauchy probability, on v = tanh u.

        d_ij = K/2 (1 - cos(v_i, v_j))              the Hamming distance, where v is ±1
        p_ij = γ / (γ + d_ij)                       the probability that i and j are similar
        L    = mean over pairs of  w_ij (s_ij log(d_ij / γ) + log(1 + γ / d_ij))
        w_ij = S/S1 where s_ij = 1, S/S0 where s_ij = 0

    S1 and S0 count the similar and the dissimilar pairs of the batch, S = S1 + S0. The Cauchy
    probability falls at once as the distance leaves 0, so similar codes are drawn into a small
    Hamming ball.

    A dissimilar pair with equal codes has an infinite cost in the paper; here 1 - cos is at
    least 1e-6, so that rounding neither takes the logarithm of a negative number nor of 0.

    Source: Cao, Long, Liu, Wang, "Deep Cauchy Hashing for Hamming Space Retrieval", CVPR 2018,
    eq. 2 (weights), 6 (distance) and 8 (loss), of a hash layer with tanh. The authors' code
    (thulab/DeepHash) weighs similar pairs by S/S1 and dissimilar ones by 1.

    Args:
        gamma: γ, the scale of the Cauchy distribution: the distance at which a pair is as
            likely similar as not.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `gamma` is not positive.
    """

    def __init__(
        self,
        gamma: float = 20.0,
        name: str = "dch",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.gamma = check_positive("gamma", gamma)

    def similarity_code(self, codes: Tensor) -> Tensor:
        """v / ‖v‖, whose inner products are cosines."""
        return unit_length(self.relax(codes))

    def pair_loss(self, inner_products: Tensor, similar: Tensor, bits: int) -> Tensor:
        """-log p for a similar pair, -log(1 - p) for a dissimilar one."""
        distance = bits / 2 * ops.maximum(1 - inner_products, _CLOSEST)
        of_similar, of_dissimilar = distance / self.gamma, self.gamma / distance
        return similar * ops.log1p(of_similar) + (1 - similar) * ops.log1p(of_dissimilar)

    def pair_weights(self, similar: Tensor, valid: Tensor) -> Tensor:
        """S/S1 and S/S0, counted over the pairs of the global batch."""
        return balanced_weights(similar, valid)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "gamma": self.gamma}
