"""Losses without state: similarity, quantization, and both in one."""

from keras_hashing.losses.hashing_loss import HashingLoss
from keras_hashing.losses.quantization import (
    HashSlicedWasserstein,
    OptimalTransport,
    QuantizationLoss,
    SignDistance,
    SlicedWasserstein,
)
from keras_hashing.losses.similarity import DPSH, HashNet, PairwiseSimilarity

__all__ = [
    "DPSH",
    "HashNet",
    "HashSlicedWasserstein",
    "HashingLoss",
    "OptimalTransport",
    "PairwiseSimilarity",
    "QuantizationLoss",
    "SignDistance",
    "SlicedWasserstein",
]
