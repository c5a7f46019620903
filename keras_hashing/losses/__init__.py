"""Losses without state: similarity, quantization, and both in one."""

from keras_hashing.losses.hashing_loss import HashingLoss
from keras_hashing.losses.quantization import (
    CauchyDistance,
    CubicDistance,
    HashSlicedWasserstein,
    HashSlicedWassersteinPairs,
    LogCoshDistance,
    OptimalTransport,
    QuantizationLoss,
    SignDistance,
    SlicedWasserstein,
)
from keras_hashing.losses.similarity import DCH, DHN, DPSH, HashNet, PairwiseSimilarity

__all__ = [
    "DCH",
    "DHN",
    "DPSH",
    "CauchyDistance",
    "CubicDistance",
    "HashNet",
    "HashSlicedWasserstein",
    "HashSlicedWassersteinPairs",
    "HashingLoss",
    "LogCoshDistance",
    "OptimalTransport",
    "PairwiseSimilarity",
    "QuantizationLoss",
    "SignDistance",
    "SlicedWasserstein",
]
