"""Layers: the hash head, the sign, packing in bytes, and search among packed codes."""

from keras_hashing.layers.binarize import Binarize
from keras_hashing.layers.hamming_search import HammingSearch
from keras_hashing.layers.hash_head import HashHead
from keras_hashing.layers.pack_bits import PackBits

__all__ = ["Binarize", "HammingSearch", "HashHead", "PackBits"]
