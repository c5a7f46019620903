"""The kinds of .tflite files."""

from collections.abc import Iterable
from typing import Literal, get_args

Kind = Literal["float32", "float16", "dynamic-range", "int8"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""
    float32         weights and arithmetic in float32
    float16         weights in float16, arithmetic in float32 (float16 where the device has it)
    dynamic-range   weights in int8, activations in float32
    int8            weights and activations in int8
"""


def file_name(kind: Kind) -> str:
    """The name of the file of a kind."""
    return f"encoder-{kind}.tflite"


def check_kinds(kinds: Iterable[str]) -> list[Kind]:
    """The kinds, each once, in the order of `KINDS`.

    Raises:
        ValueError: if there is none, or one is unknown.
    """
    wanted = list(kinds)
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown or not wanted:
        raise ValueError(
            f"`kinds` (--kind) must be some of {', '.join(KINDS)}. Received: {wanted!r}"
        )
    return [kind for kind in KINDS if kind in wanted]
