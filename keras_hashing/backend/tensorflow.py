"""TensorFlow's part of the backend: see `keras_hashing.backend`."""

import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from keras_hashing.backend.assignment import solve_assignment


def _replica_context() -> Any:
    """The replica context when several replicas train together, else None."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def all_gather(x: tf.Tensor) -> tf.Tensor:
    """Rows of every replica, in replica order; `x` itself outside of `tf.distribute`."""
    context = _replica_context()
    if context is None:
        return x
    return tf.ensure_shape(context.all_gather(x, axis=0), (None, *x.shape[1:]))


def first_row(x: tf.Tensor) -> tf.Tensor | int:
    """Where this replica's rows begin in `all_gather(x)`."""
    context = _replica_context()
    if context is None:
        return 0
    sizes = context.all_gather(tf.shape(x)[:1], axis=0)
    return tf.reduce_sum(sizes[: context.replica_id_in_sync_group])


def replica_key() -> int | None:
    """Tells apart the replicas that one process traces; None where there is one replica."""
    return None if _replica_context() is None else threading.get_ident()


def _inside_xla() -> bool:
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def _selection_is_available() -> bool:
    """`NthElement` has a CPU kernel only: none on accelerators, none inside XLA."""
    if _inside_xla():
        return False
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def nth_smallest(x: tf.Tensor, n: int | tf.Tensor) -> tf.Tensor:
    """The value of each column that has n others before it in ascending order: (rows, K) → (K,)."""
    n = tf.maximum(n, 0)
    columns = tf.transpose(x)
    if _selection_is_available():
        return tf.raw_ops.NthElement(input=columns, n=n)
    return tf.sort(columns)[:, n]


def stateless_normal(shape: tuple, seed: tf.Tensor) -> tf.Tensor:
    """Standard normal float32 numbers that depend on the int32 seed of shape (2,) alone."""
    return tf.random.stateless_normal(shape, seed)


def stateless_signs(shape: tuple, seed: tf.Tensor) -> tf.Tensor:
    """Independent fair float32 numbers of {-1, +1} that depend on the int32 seed alone."""
    bits = tf.random.stateless_uniform(shape, seed, minval=0, maxval=2, dtype=tf.int32)
    return tf.cast(2 * bits - 1, tf.float32)


def optimal_assignment(cost: tf.Tensor) -> tf.Tensor:
    """Column given to each row by the cheapest assignment: (n, n) → int32 (n,).

    Runs on the host, so neither inside XLA nor in an exported graph.
    """
    if _inside_xla():
        raise ValueError(
            "The exact assignment of OptimalTransport runs on the host, which XLA cannot compile: "
            "compile the model with jit_compile=False. Received: jit_compile=True (the default "
            "where there is an accelerator)"
        )
    columns = tf.numpy_function(solve_assignment, [cost], tf.int32, stateful=False)
    return tf.ensure_shape(columns, cost.shape[:1])


_WORDS = {1: tf.uint8, 2: tf.uint16, 4: tf.int32, 8: tf.int64}


def differing_bits(database: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Bits in which bytes differ: uint8 (…, width) against uint8 (width,) → uint8 (…).

    The width is 1, 2, 4 or 8 bytes, so that one instruction handles a word of them.
    """
    word = _WORDS[query.shape[-1]]
    if word == tf.uint8:
        database, query = database[..., 0], query[0]
    else:
        database, query = tf.bitcast(database, word), tf.bitcast(query, word)
    return tf.raw_ops.PopulationCount(x=tf.bitwise.bitwise_xor(database, query))


def map_rows(
    function: Callable[[Any], Any], rows: Any, dtypes: Any, sizes: tuple[int | tf.Tensor, ...]
) -> Any:
    """`function` of one row at a time, so that memory does not grow with the number of rows.

    Args:
        function: takes a row of each of `rows` and returns vectors.
        rows: tensor, or a tuple of them, of any number of rows.
        dtypes: dtype of each vector, in the structure that `function` returns.
        sizes: shape of every vector; a size may be a tensor.

    Returns:
        The vectors stacked, (rows, *sizes), in the structure of `dtypes`.
    """
    shape = [size if isinstance(size, int) else None for size in sizes]
    specs = tf.nest.map_structure(lambda dtype: tf.TensorSpec(shape, dtype), dtypes)

    def mapped() -> Any:
        return tf.map_fn(function, rows, fn_output_signature=specs, parallel_iterations=1)

    if None not in shape:
        return mapped()
    # Without a row there is no vector to tell the size.
    return tf.cond(
        tf.shape(tf.nest.flatten(rows)[0])[0] > 0,
        mapped,
        lambda: tf.nest.map_structure(lambda dtype: tf.zeros((0, *sizes), dtype), dtypes),
    )


def checked_scalar(name: str, value: tf.Tensor, smallest: int, largest: int) -> tf.Tensor:
    """`value` as int32, once the graph has found it in `smallest..largest`.

    Raises:
        ValueError: if it is no integer scalar.
        tf.errors.InvalidArgumentError: when it is outside, as the graph runs.
    """
    if not value.dtype.is_integer or value.shape.rank not in (None, 0):
        raise ValueError(
            f"`{name}` must be an integer scalar. "
            f"Received: dtype={value.dtype.name}, shape={value.shape}"
        )
    rule = f"`{name}` must be an integer from {smallest} to {largest}"
    in_range = tf.logical_and(value >= smallest, value <= largest)
    with tf.control_dependencies([tf.debugging.Assert(in_range, [f"{rule}. Received:", value])]):
        return tf.ensure_shape(tf.cast(value, tf.int32), ())
