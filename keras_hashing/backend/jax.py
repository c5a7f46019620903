"""JAX's part of the backend: see `keras_hashing.backend`.

Under `keras.distribution` JAX arrays are global already, so there is nothing to gather.
"""

import jax
import jax.numpy as jnp

from keras_hashing.backend.assignment import solve_assignment


def all_gather(x: jax.Array) -> jax.Array:
    """The rows of the global batch, which is what `x` holds already."""
    return x


def first_row(x: jax.Array) -> int:
    """Where the rows of `x` begin in `all_gather(x)`."""
    return 0


def replica_key() -> None:
    """Tells apart the replicas that one process traces: JAX traces the global program once."""
    return None


def lower_median(x: jax.Array) -> jax.Array:
    """The lower of the middle values of each column: (n, K) → (K,)."""
    return jnp.sort(x, axis=0)[max((x.shape[0] - 1) // 2, 0)]


def _key(seed: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.PRNGKey(seed[0]), seed[1])


def stateless_normal(shape: tuple, seed: jax.Array) -> jax.Array:
    """Standard normal float32 numbers that depend on the int32 seed of shape (2,) alone."""
    return jax.random.normal(_key(seed), shape, dtype="float32")


def stateless_signs(shape: tuple, seed: jax.Array) -> jax.Array:
    """Independent fair float32 numbers of {-1, +1} that depend on the int32 seed alone."""
    return jax.random.rademacher(_key(seed), shape, dtype="float32")


def optimal_assignment(cost: jax.Array) -> jax.Array:
    """Column given to each row by the cheapest assignment: (n, n) → int32 (n,)."""
    shape = jax.ShapeDtypeStruct(cost.shape[:1], jnp.int32)
    return jax.pure_callback(solve_assignment, shape, cost)
