"""Time of the quantization losses, forward and backward, compiled, as ratios in one run.

The peer is how the paper's code computes HSWD: draw a batch of ±1 targets, sort both sides.
KERAS_BACKEND chooses the backend.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

from keras_hashing import backend
from keras_hashing.losses import (
    HashSlicedWasserstein,
    OptimalTransport,
    SignDistance,
    SlicedWasserstein,
)
from keras_hashing.losses.quantization.seed_of_batch import seed_of_batch

Loss = Callable[[Any], Any]


def draw_targets_and_sort_both(codes: Any) -> Any:
    """The peer: a sampled estimate of HSWD, with the gradient through the sort."""
    targets = backend.stateless_signs(tuple(codes.shape), seed_of_batch(0, codes))
    return ops.mean(ops.square(ops.sort(codes, axis=0) - ops.sort(targets, axis=0)))


def of_loss(loss: keras.losses.Loss) -> Loss:
    return lambda codes: loss(codes, codes)


def compiled(loss: Loss) -> Callable[[Any], Any]:
    """Value and gradient as one compiled function, without XLA on TensorFlow."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.value_and_grad(loss))

    import tensorflow as tf

    @tf.function
    def value_and_gradient(codes: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(codes)
            value = loss(codes)
        return value, tape.gradient(value, codes)

    return value_and_gradient


def contestants(codes: Any, projections: int, with_transport: bool) -> dict[str, Callable]:
    """Compiled functions by name; the first one is the peer."""
    functions = {
        "draw targets, sort both (peer)": compiled(draw_targets_and_sort_both),
    }
    if keras.backend.backend() == "tensorflow":
        from keras_hashing.backend import tensorflow as tensorflow_backend

        selection = tensorflow_backend._selection_is_available
        tensorflow_backend._selection_is_available = lambda: False
        functions["HSWD, one sort"] = compiled(of_loss(HashSlicedWasserstein()))
        functions["HSWD, one sort"](codes)  # traced while there is no selection
        tensorflow_backend._selection_is_available = selection
        functions["HSWD, selection"] = compiled(of_loss(HashSlicedWasserstein()))
    else:
        functions["HSWD, one sort"] = compiled(of_loss(HashSlicedWasserstein()))
    functions["sign distance"] = compiled(of_loss(SignDistance()))
    functions[f"SWD, {projections:,} projections"] = compiled(
        of_loss(SlicedWasserstein(projections))
    )
    if with_transport:
        functions["OT, exact assignment"] = compiled(of_loss(OptimalTransport()))
    return functions


def seconds(function: Callable, codes: Any, budget: float) -> float:
    """Mean time of a call, over about `budget` seconds."""
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < budget or calls == 0:
        ops.convert_to_numpy(function(codes)[0])
        calls += 1
    return (time.perf_counter() - started) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1024, help="samples [%(default)s]")
    parser.add_argument("--bits", type=int, default=64, help="bits [%(default)s]")
    parser.add_argument(
        "--projections", type=int, default=10_000, help="projections of SWD [%(default)s]"
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds, taken in turn [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the codes [%(default)s]")
    parser.add_argument("--no-transport", action="store_true", help="leave out OT, which is slow")
    arguments = parser.parse_args()

    random = np.random.default_rng(arguments.seed)
    codes = ops.convert_to_tensor(
        random.normal(size=(arguments.batch, arguments.bits)).astype("float32")
    )
    functions = contestants(codes, arguments.projections, not arguments.no_transport)
    for function in functions.values():
        function(codes)
    times = {name: [] for name in functions}
    for _ in range(arguments.rounds):
        for name, function in functions.items():
            times[name].append(seconds(function, codes, budget=0.1))

    table = Table(
        title=f"{keras.backend.backend()}, {arguments.batch}×{arguments.bits}, forward and "
        f"backward, median of {arguments.rounds} rounds"
    )
    for column in ("loss", "milliseconds", "ratio to the peer"):
        table.add_column(column, justify="left" if column == "loss" else "right")
    medians = {name: float(np.median(values)) for name, values in times.items()}
    peer = next(iter(medians.values()))
    for name, value in medians.items():
        table.add_row(name, f"{1000 * value:.3f}", f"{value / peer:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
