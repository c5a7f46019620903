"""Rules of arguments that more than one part of the library takes, and their defaults."""

import operator

PLACES = ("raw", "relaxed")
# Of 0.1, 0.3, 1 and 3 with HSWD on the raw code: docs/cifar10.md says how it was measured. The
# paper's code has 0.1.
DEFAULT_WEIGHT = 0.3


def check_bits(bits: int) -> int:
    """`bits` as an int, if codes of that length can be packed in bytes."""
    try:
        number = 0 if isinstance(bits, bool) else operator.index(bits)
    except TypeError:
        number = 0
    if number < 8 or number % 8:
        raise ValueError(f"`bits` must be a positive multiple of 8. Received: bits={bits!r}")
    return number


def check_place(quantize: str) -> str:
    """`quantize` as it is, if it names a code that quantization can act on."""
    if quantize not in PLACES:
        raise ValueError(f"`quantize` must be one of {PLACES}. Received: quantize={quantize!r}")
    return quantize


def check_weight(quantization_weight: float) -> float:
    """`quantization_weight` as it is, if it is a finite number of at least 0."""
    if not 0 <= quantization_weight < float("inf"):
        raise ValueError(
            "`quantization_weight` must be a finite number of at least 0. "
            f"Received: quantization_weight={quantization_weight}"
        )
    return quantization_weight
