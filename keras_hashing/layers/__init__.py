"""Layers: the hash head, the sign, and packing in bytes."""

from keras_hashing.layers.binarize import Binarize
from keras_hashing.layers.hash_head import HashHead
from keras_hashing.layers.pack_bits import PackBits

__all__ = ["Binarize", "HashHead", "PackBits"]
