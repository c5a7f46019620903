"""Optimizers for pretrained backbones."""

from keras_hashing.optimizers.discriminative_adamw import DiscriminativeAdamW

__all__ = ["DiscriminativeAdamW"]
