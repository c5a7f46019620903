"""Similarity objectives that hold no state."""

from keras_hashing.losses.similarity.dpsh import DPSH
from keras_hashing.losses.similarity.hashnet import HashNet
from keras_hashing.losses.similarity.pairwise_similarity import PairwiseSimilarity

__all__ = ["DPSH", "HashNet", "PairwiseSimilarity"]
