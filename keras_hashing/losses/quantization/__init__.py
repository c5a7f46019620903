"""Quantization losses: how far continuous codes are from balanced binary ones."""

from typing import Any

import keras

from keras_hashing import names
from keras_hashing.losses.quantization.cauchy_distance import CauchyDistance
from keras_hashing.losses.quantization.cubic_distance import CubicDistance
from keras_hashing.losses.quantization.hash_sliced_wasserstein import HashSlicedWasserstein
from keras_hashing.losses.quantization.hash_sliced_wasserstein_pairs import (
    HashSlicedWassersteinPairs,
)
from keras_hashing.losses.quantization.log_cosh_distance import LogCoshDistance
from keras_hashing.losses.quantization.optimal_transport import OptimalTransport
from keras_hashing.losses.quantization.quantization_loss import QuantizationLoss
from keras_hashing.losses.quantization.sign_distance import SignDistance
from keras_hashing.losses.quantization.sliced_wasserstein import SlicedWasserstein

QUANTIZATION_LOSSES: dict[str, type[QuantizationLoss]] = {
    name: globals()[class_name] for name, class_name in names.QUANTIZATION_LOSSES.items()
}


def get(identifier: Any) -> QuantizationLoss | None:
    """A quantization loss by name, configuration or as it is.

    Args:
        identifier: `None` or `"none"`; a name of `QUANTIZATION_LOSSES`; the dictionary that
            `keras.saving.serialize_keras_object` makes; or a `QuantizationLoss`.

    Returns:
        The loss, or `None` for none.

    Raises:
        ValueError: for anything else.
    """
    if identifier is None or identifier == "none":
        return None
    if isinstance(identifier, QuantizationLoss):
        return identifier
    if isinstance(identifier, dict):
        return get(keras.saving.deserialize_keras_object(identifier))
    if isinstance(identifier, str) and identifier in QUANTIZATION_LOSSES:
        return QUANTIZATION_LOSSES[identifier]()
    raise ValueError(
        f"`quantization` must be one of {['none', *QUANTIZATION_LOSSES]} (a HashingModel also "
        "takes 'native') or a `keras_hashing.losses.QuantizationLoss`. "
        f"Received: quantization={identifier!r}"
    )


__all__ = [
    "QUANTIZATION_LOSSES",
    "CauchyDistance",
    "CubicDistance",
    "HashSlicedWasserstein",
    "HashSlicedWassersteinPairs",
    "LogCoshDistance",
    "OptimalTransport",
    "QuantizationLoss",
    "SignDistance",
    "SlicedWasserstein",
    "get",
]
