"""JAX's part of the backend: see `keras_hashing.backend`.

Under `keras.distribution` JAX arrays are global already, so there is nothing to gather.
"""

from collections.abc import Callable
from typing import Any, NoReturn

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


def nth_smallest(x: jax.Array, n: int | jax.Array) -> jax.Array:
    """The value of each column that has n others before it in ascending order: (rows, K) → (K,)."""
    return jnp.sort(x, axis=0)[jnp.maximum(n, 0)]


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


def differing_bits(database: jax.Array, query: jax.Array) -> jax.Array:
    """Bits in which bytes differ: uint8 (…, width) against uint8 (width,) → uint8 (…).

    The width is 1, 2, 4 or 8 bytes; JAX has no word of 8 by default.
    """
    size = min(query.shape[-1], 4)

    def words(x: jax.Array) -> jax.Array:
        x = x.reshape(*x.shape[:-1], x.shape[-1] // size, size)
        return jax.lax.bitcast_convert_type(x if size > 1 else x[..., 0], f"uint{8 * size}")

    counts = jax.lax.population_count(words(database) ^ words(query))
    return counts.sum(axis=-1, dtype="uint8")


def map_rows(function: Callable[[Any], Any], rows: Any, dtypes: Any, sizes: tuple[int, ...]) -> Any:
    """`function` of one row at a time: see the module of TensorFlow."""
    return jax.lax.map(function, rows)


def checked_scalar(name: str, value: Any, smallest: int, largest: int) -> NoReturn:
    """Refuses a number that is not known before the function is compiled."""
    raise ValueError(
        f"`{name}` must be a Python integer on the JAX backend: it gives the output its shape. "
        f"Received: {name}={value!r}"
    )
