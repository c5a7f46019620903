"""What HSWD over the global batch costs beside the sum of the gradients, on simulated devices.

One machine stands in for all devices, as devices of JAX that share its cores, so that times count
the work of all of them and no network. The peer is the sum of a network's gradients over the
devices, which every data-parallel training has. Bytes are those that a device receives in a step.
"""

import argparse
import math
import os
import re
import time
from collections.abc import Callable
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64], help="[%(default)s]")
    parser.add_argument("--batch", type=int, default=128, help="images of a device [%(default)s]")
    parser.add_argument("--bits", type=int, default=64, help="[%(default)s]")
    parser.add_argument(
        "--parameters",
        type=int,
        default=3_400_000,
        help="of the network; EfficientNet-Lite0's by default [%(default)s]",
    )
    parser.add_argument("--rounds", type=int, default=5, help="taken in turn [%(default)s]")
    return parser.parse_args()


def received(compiled: Any, devices: int) -> tuple[float, str]:
    """Bytes that a device receives in a compiled program, and by which collectives."""
    share, total, names = (devices - 1) / devices, 0.0, set()
    pattern = r"= (.*?) (all-gather|all-reduce|all-to-all)(?:-start)?\("
    for result, name in re.findall(pattern, compiled.as_text()):
        for bits, sizes in re.findall(r"[a-z](\d+)\[([\d,]*)\]", result):
            elements = math.prod(int(size) for size in sizes.split(",") if size)
            total += share * elements * int(bits) / 8 * (2 if name == "all-reduce" else 1)
        names.add(name)
    return total, ", ".join(sorted(names)) or "-"


def seconds(function: Callable, *values: Any) -> float:
    import jax

    started = time.perf_counter()
    jax.block_until_ready(function(*values))
    return time.perf_counter() - started


def contestants(devices: int, chosen: argparse.Namespace) -> dict[str, tuple[Any, Any]]:
    """Compiled functions with what they take, by name; the first one is the peer."""
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from keras_hashing.losses import HashSlicedWasserstein

    mesh = Mesh(np.array(jax.devices()[:devices]), ("batch",))
    dealt, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("batch",), ()))
    codes = np.random.default_rng(0).normal(size=(devices * chosen.batch, chosen.bits))
    gradients = jax.device_put(np.ones((devices, chosen.parameters), np.float32), dealt)
    loss = HashSlicedWasserstein()
    functions = {
        "sum of gradients (peer)": (lambda g: g.sum(0), whole, gradients),
        "HSWD": (
            jax.value_and_grad(lambda u: loss(u, u)),
            (whole, dealt),
            jax.device_put(codes.astype("float32"), dealt),
        ),
    }
    return {
        name: (jax.jit(function, out_shardings=out).lower(value).compile(), value)
        for name, (function, out, value) in functions.items()
    }


def main() -> None:
    chosen = arguments()
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={max(chosen.devices)}"
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"batch {chosen.batch} a device, {chosen.bits} bits, {chosen.parameters:,} "
        f"parameters, median of {chosen.rounds} rounds"
    )
    for column in ("devices", "", "collectives", "MB received", "ms, all devices", "ratio"):
        table.add_column(column, justify="left" if column in ("", "collectives") else "right")
    for devices in chosen.devices:
        functions = contestants(devices, chosen)
        times: dict[str, list[float]] = {name: [] for name in functions}
        for _ in range(chosen.rounds + 1):
            for name, (function, value) in functions.items():
                times[name].append(seconds(function, value))
        medians = {name: float(np.median(values[1:])) for name, values in times.items()}
        peer = next(iter(medians.values()))
        for name, (function, _) in functions.items():
            size, collectives = received(function, devices)
            table.add_row(
                str(devices),
                name,
                collectives,
                f"{size / 1e6:.2f}",
                f"{1000 * medians[name]:.1f}",
                f"{medians[name] / peer:.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
