"""SWD with its sorts on the host: the same value, a tenth of the time on JAX' CPU backend."""

from typing import Any

import jax
import numpy as np
from keras import ops

from keras_hashing.losses import SlicedWasserstein

Tensor = Any


class HostSortedSWD(SlicedWasserstein):
    """`SlicedWasserstein`, sorted by NumPy.

    XLA sorts 128×1000 values three times in 100 ms on a CPU core, NumPy in 10 ms (measured). The
    distance, its directions and its targets are those of the base class.
    """

    def distance(self, codes: Tensor) -> Tensor:
        """Transport cost of each sample, averaged over the projections: (batch,)."""
        batch = ops.stop_gradient(codes)
        directions, targets = self.draw(batch)
        directions = ops.cast(directions, codes.dtype)
        assigned = jax.pure_callback(
            target_of_each,
            jax.ShapeDtypeStruct((batch.shape[0], self.num_projections), batch.dtype),
            batch @ directions,
            ops.cast(targets, codes.dtype) @ directions,
        )
        difference = codes @ directions - ops.stop_gradient(assigned)
        cost = ops.abs(difference) if self.p == 1 else ops.square(difference)
        return ops.mean(cost, axis=-1)


def target_of_each(projected: Any, projected_targets: Any) -> np.ndarray:
    """The target of equal rank, column by column: (n, L) and (n, L) → (n, L)."""
    columns = np.ascontiguousarray(np.asarray(projected).T)
    of_rank = np.sort(np.ascontiguousarray(np.asarray(projected_targets).T), axis=1)
    assigned = np.empty_like(of_rank)
    np.put_along_axis(assigned, np.argsort(columns, axis=1), of_rank, axis=1)
    return np.ascontiguousarray(assigned.T)
