"""Metrics of codes while they are trained."""

from keras_hashing.metrics.bit_balance import BitBalance
from keras_hashing.metrics.bit_correlation import BitCorrelation
from keras_hashing.metrics.quantization_error import QuantizationError

__all__ = ["BitBalance", "BitCorrelation", "QuantizationError"]
