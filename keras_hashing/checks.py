"""Rules of arguments that more than one part of the library takes, and their defaults.

A bool is refused wherever a number is asked for: `p=True` is a slip, not 1.
"""

import math
import numbers
import operator
from typing import Any

PLACES = ("raw", "relaxed")
# Of 0.1, 0.3, 1 and 3 with HSWD on the raw code: docs/cifar10.md says how it was measured. The
# paper's code has 0.1.
DEFAULT_WEIGHT = 0.3
DEFAULT_INSTANCE_WEIGHT = 0.3
# The class number, or every value of the row of labels, of an image without labels.
UNLABELLED = -1


def check_integer(name: str, value: Any, smallest: int, largest: int | None, rule: str) -> int:
    """Returns `value` as an int in `smallest..largest`; `rule` says that range in words.

    `largest=None` sets no upper end.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"`{name}` must be an integer. Received: {name}={value!r}") from None
    outside = number < smallest or (largest is not None and number > largest)
    if isinstance(value, bool) or outside:
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")
    return number


def check_count(name: str, value: Any, smallest: int = 1) -> int:
    """`value` as an int of at least `smallest`, 1 or 0."""
    rule = "a positive integer" if smallest else "an integer of at least 0"
    return check_integer(name, value, smallest, None, rule)


def check_bits(bits: Any) -> int:
    """`bits` as an int: a code has at least one."""
    return check_count("bits", bits)


def check_order(p: Any) -> int:
    """`p` as it is, if it is an order of a transport distance: 1 or 2."""
    if isinstance(p, bool) or p not in (1, 2):
        raise ValueError(f"`p` must be 1 or 2. Received: p={p!r}")
    return p


def check_positive(name: str, value: float) -> float:
    """`value` as it is, if it is a finite number above 0."""
    if not (_is_finite(value) and value > 0):
        raise ValueError(f"`{name}` must be positive and finite. Received: {name}={value!r}")
    return value


def check_not_negative(name: str, value: float) -> float:
    """`value` as it is, if it is a finite number of at least 0."""
    if not (_is_finite(value) and value >= 0):
        raise ValueError(
            f"`{name}` must be a finite number of at least 0. Received: {name}={value!r}"
        )
    return value


def check_weight(quantization_weight: float) -> float:
    """`quantization_weight` as it is, if it is a finite number of at least 0."""
    return check_not_negative("quantization_weight", quantization_weight)


def check_place(quantize: str) -> str:
    """`quantize` as it is, if it names a code that quantization can act on."""
    if quantize not in PLACES:
        raise ValueError(f"`quantize` must be one of {PLACES}. Received: quantize={quantize!r}")
    return quantize


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
