"""DPSH's similarity objective."""

from typing import Any

import keras
from keras import ops

from keras_hashing.losses.similarity.pairwise_similarity import PairwiseSimilarity

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class DPSH(PairwiseSimilarity):
    """Deep pairwise-supervised hashing: negative log-likelihood of the pairs' similarity.

        θ_ij = ½ u_i·u_j
        L    = mean over pairs of  log(1 + exp θ_ij) - s_ij θ_ij

    u is the raw continuous code.

    Source: Li, Wang, Kang, "Feature Learning based Deep Supervised Hashing with Pairwise
    Labels", IJCAI 2016, eq. 1-2, with the logarithm in its stable softplus form. The published
    code compares the batch with the latest code of every training sample; here the batch is
    compared with itself (`keras_hashing.methods.DPSH` adds a memory of bounded size).

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def __init__(self, name: str = "dpsh", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def pair_loss(self, inner_products: Tensor, similar: Tensor, bits: int) -> Tensor:
        """softplus(θ) - s θ with θ half the inner product."""
        theta = inner_products / 2
        return ops.softplus(theta) - similar * theta
