"""Models that train a hash method whole."""

from keras_hashing.models.hashing_model import HashingModel

__all__ = ["HashingModel"]
