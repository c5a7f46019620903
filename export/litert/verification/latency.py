"""How long encoders take, beside each other."""

import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

_WARM_UP = 3


def interleaved_latency(
    calls: Mapping[Name, Callable[[], object]], rounds: int = 50
) -> dict[Name, float]:
    """The median time of each call, all measured in one run.

    In each round every call is timed once, in turn, and the next round goes the other way, so
    that whatever else the machine does meets them all alike.

    Args:
        calls: what to time, by name.
        rounds: at least 1.

    Returns:
        Milliseconds, by name.

    Raises:
        ValueError: if `rounds` is less than 1.
    """
    if rounds < 1:
        raise ValueError(f"`rounds` must be at least 1. Received: {rounds}")
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    times: dict[Name, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for _ in range(rounds):
        for name in order:
            start = time.perf_counter()
            calls[name]()
            times[name].append(1000 * (time.perf_counter() - start))
        order.reverse()
    return {name: median(of_call) for name, of_call in times.items()}
