"""Names of methods and quantizations, for help and checks that do without Keras.

The registries, `keras_hashing.methods.METHODS` and
`keras_hashing.losses.quantization.QUANTIZATION_LOSSES`, are these tables with classes for names.
"""

import json
from collections.abc import Iterable
from typing import Any

PAIRWISE_METHODS = {
    "dch": "DCH",
    "dhn": "DHN",
    "dpsh": "DPSH",
    "dsdh": "DSDH",
    "hashnet": "HashNet",
}
CLASS_METHODS = {"csq": "CSQ", "greedyhash": "GreedyHash", "orthohash": "OrthoHash"}
METHODS = {**PAIRWISE_METHODS, **CLASS_METHODS}  # they learn from labels
TWO_VIEW_METHODS = {"cibhash": "CIBHash", "crovca": "CroVCA", "ntxent": "NTXent"}
RECONSTRUCTING_METHODS = {"dcwae": "DCWAE"}
CLOSED_FORM_METHODS = {"itq": "ITQ", "lsh": "LSH", "pca": "PCA"}
LABEL_FREE_METHODS = {**TWO_VIEW_METHODS, **RECONSTRUCTING_METHODS, **CLOSED_FORM_METHODS}

QUANTIZATION_LOSSES = {
    "sign": "SignDistance",
    "hswd": "HashSlicedWasserstein",
    "hswd-pairs": "HashSlicedWassersteinPairs",
    "swd": "SlicedWasserstein",
    "ot": "OptimalTransport",
}
# Those whose plan can be made over the batch and remembered codes.
WITH_MEMORY = ("hswd", "hswd-pairs")
QUANTIZATIONS = ("none", "native", *QUANTIZATION_LOSSES)


def check_name(argument: str, name: str, known: Iterable[str]) -> str:
    """The name as it is, if it is a known one."""
    known = list(known)
    if name not in known:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(known)}. Received: {argument}={name!r}"
        )
    return name


def name_and_options(method: str) -> tuple[str, dict[str, Any]]:
    """A method's name, and the options of its constructor that may follow it.

    >>> name_and_options("dsdh:eta=3:window=1000")
    ('dsdh', {'eta': 3, 'window': 1000})

    Raises:
        ValueError: where an option has no value or comes twice.
    """
    name, *parts = method.split(":")
    options: dict[str, Any] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if not key or not value or key in options:
            raise ValueError(
                "`method` may be followed by options, as in 'dsdh:eta=3:window=1000', each once. "
                f"Received: method={method!r}"
            )
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return name, options


def quoted(names: Iterable[str], last: str = "or") -> str:
    """The names in quotes, as in "'a', 'b' or 'c'"."""
    *others, final = map(repr, names)
    return f"{', '.join(others)} {last} {final}" if others else final
