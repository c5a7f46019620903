"""DHN's similarity objective."""

from typing import Any

import keras

from keras_hashing.losses.similarity.dpsh import DPSH

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class DHN(DPSH):
    """Deep hashing network: DPSH's pairwise likelihood, on v = tanh u.

        θ_ij = ½ v_i·v_j
        L    = mean over pairs of  log(1 + exp θ_ij) - s_ij θ_ij

    Source: Zhu, Long, Wang, Cao, "Deep Hashing Network for Efficient Similarity Retrieval", AAAI
    2016, the pairwise cross-entropy of a hash layer with tanh. The authors' code
    (thulab/DeepHash) has the same factor ½ as its default `alpha`, but clips inner products to
    ±15, which stops their gradient, multiplies similar pairs by S/S1, and counts the pairs of a
    sample with itself.

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def __init__(self, name: str = "dhn", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def similarity_code(self, codes: Tensor) -> Tensor:
        """v = tanh u."""
        return self.relax(codes)
