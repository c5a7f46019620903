"""Similarity objectives that hold no state."""

from keras_hashing.losses.similarity.dch import DCH
from keras_hashing.losses.similarity.dhn import DHN
from keras_hashing.losses.similarity.dpsh import DPSH
from keras_hashing.losses.similarity.hashnet import HashNet
from keras_hashing.losses.similarity.pairwise_similarity import PairwiseSimilarity

__all__ = ["DCH", "DHN", "DPSH", "HashNet", "PairwiseSimilarity"]
