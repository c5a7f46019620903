"""SWD: the sliced Wasserstein distance over random projections."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_count, check_order
from keras_hashing.losses.inputs import absolute
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss
from keras_hashing.losses.quantization.seed_of_batch import seed_of_batch

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class SlicedWasserstein(QuantizationLoss):
    """Sliced Wasserstein distance (SWD) to the uniform distribution on {-1, +1}^K.

    With L directions θ_l uniform on the unit sphere of R^K and a batch of targets v_i drawn
    uniformly from {-1, +1}^K:

        SWD_p^p = 1/L Σ_l  1/n Σ_i | (θ_l·u)_(i) - (θ_l·v)_(i) |^p

    where (i) is the i-th smallest of the batch. Unlike HSWD it sees the joint distribution, at
    O(L (nK + n log n)); the target is sampled, so the value is noisy and biased upward.

    Directions and targets are drawn anew at every step, from `seed` and the batch itself (a
    Keras loss may hold no state): the same seed and batch give the same value. Under
    `tf.distribute` the batch is the global one.

    Source: Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", 2015; as a
    quantization loss in Doan, Yang, Li, CVPR 2022 (arXiv 2205.15721).

    Args:
        num_projections: L, the number of random directions.
        seed: integer seed of directions and targets.
        p: order of the distance, 1 or 2.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `num_projections` is not positive or `p` is neither 1 nor 2.
    """

    def __init__(
        self,
        num_projections: int = 1000,
        seed: int = 0,
        p: int = 2,
        name: str = "sliced_wasserstein",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.num_projections = check_count("num_projections", num_projections)
        self.seed = seed
        self.p = check_order(p)

    def distance(self, codes: Tensor) -> Tensor:
        """Transport cost of each sample, averaged over the projections: (batch,)."""
        batch = backend.all_gather(ops.stop_gradient(codes))
        directions, targets = self.draw(batch)
        directions = ops.cast(directions, codes.dtype)
        target_of_rank = ops.sort(ops.cast(targets, codes.dtype) @ directions, axis=0)
        rank = ops.argsort(ops.argsort(batch @ directions, axis=0), axis=0)
        first = backend.first_row(codes)
        own_rank = rank[first : first + ops.shape(codes)[0]]
        assigned = ops.take_along_axis(target_of_rank, own_rank, axis=0)
        difference = codes @ directions - ops.stop_gradient(assigned)
        cost = absolute(difference) if self.p == 1 else ops.square(difference)
        return ops.mean(cost, axis=-1)

    def draw(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The random directions and targets of this batch.

        Args:
            batch: the global batch, shape (n, bits).

        Returns:
            directions: float32, shape (bits, num_projections), columns of length 1.
            targets: float32, shape (n, bits), of {-1, +1}.
        """
        rows, bits = ops.shape(batch)
        seed = seed_of_batch(self.seed, batch)
        directions = backend.stateless_normal((bits, self.num_projections), seed)
        directions = directions / ops.norm(directions, axis=0, keepdims=True)
        return directions, backend.stateless_signs((rows, bits), seed + 1)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {
            **super().get_config(),
            "num_projections": self.num_projections,
            "seed": self.seed,
            "p": self.p,
        }
