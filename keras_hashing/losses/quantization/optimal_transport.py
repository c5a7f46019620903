"""OT: the exact transport distance in R^K."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_order
from keras_hashing.losses.inputs import absolute
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss
from keras_hashing.losses.quantization.seed_of_batch import seed_of_batch

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class OptimalTransport(QuantizationLoss):
    """Exact optimal transport to a sampled batch of the uniform distribution on {-1, +1}^K.

    With targets v_i drawn uniformly from {-1, +1}^K and the cheapest assignment σ:

        OT_p^p = 1/(nK) Σ_i ‖u_i - v_σ(i)‖_p^p

    σ takes no gradient. The assignment is solved exactly on the host in O(n³), so this loss does
    not run inside XLA on TensorFlow (`jit_compile=False`); it is a comparison, not a way to
    train on large batches. Targets are drawn anew at every step, from `seed` and the batch
    itself. Under `tf.distribute` the batch is the global one.

    Source: the OT column of Doan, Yang, Li, CVPR 2022 (arXiv 2205.15721).

    Args:
        seed: integer seed of the targets.
        p: order of the ground cost, 1 or 2.
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.

    Raises:
        ValueError: if `p` is neither 1 nor 2.
    """

    def __init__(
        self,
        seed: int = 0,
        p: int = 2,
        name: str = "optimal_transport",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.seed = seed
        self.p = check_order(p)

    def distance(self, codes: Tensor) -> Tensor:
        """Transport cost of each sample, averaged over the bits: (batch, bits) → (batch,)."""
        batch = backend.all_gather(ops.stop_gradient(codes))
        targets = ops.cast(self.draw(batch), codes.dtype)
        columns = backend.optimal_assignment(self._pairwise_cost(batch, targets))
        first = backend.first_row(codes)
        own_columns = columns[first : first + ops.shape(codes)[0]]
        difference = codes - ops.take(targets, own_columns, axis=0)
        cost = absolute(difference) if self.p == 1 else ops.square(difference)
        return ops.mean(cost, axis=-1)

    def draw(self, batch: Tensor) -> Tensor:
        """The random targets of this batch: float32 of {-1, +1}, shape (n, bits)."""
        return backend.stateless_signs(tuple(ops.shape(batch)), seed_of_batch(self.seed, batch))

    def _pairwise_cost(self, batch: Tensor, targets: Tensor) -> Tensor:
        """Cost of each sample for each target, up to a constant of the sample: (n, n).

        Targets are ±1, so both costs are linear in the target v:
        |u - v|^p = ½(|u - 1|^p + |u + 1|^p) + ½ v (|u - 1|^p - |u + 1|^p).
        """
        to_plus, to_minus = ops.abs(batch - 1), ops.abs(batch + 1)
        if self.p == 2:
            to_plus, to_minus = ops.square(to_plus), ops.square(to_minus)
        return ops.matmul(to_plus - to_minus, ops.transpose(targets)) / 2

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {**super().get_config(), "seed": self.seed, "p": self.p}
