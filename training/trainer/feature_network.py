"""What stands between a backbone's features and the hash head."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from training.data.rows import BLOCK

HIDDEN_LAYER = "hidden"
_SMALLEST_DEVIATION = 1e-6
_SMALLEST_LENGTH = 1e-12


def small_weights(seed: int | None = None) -> keras.initializers.Initializer:
    """Initial weights of a hidden layer and of the hash head after it: uniform in ±1/√inputs.

    Keras' default is twice as wide and more at these sizes, and the likelihood of raw codes (DPSH,
    DHN) is then saturated from the start. Measured on frozen features: docs/cifar10.md.
    """
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)


def with_hidden_layer(backbone: keras.Model, hidden: int) -> keras.Model:
    """The backbone with a layer of `hidden` units and ReLU on its features; as it is for 0."""
    if not hidden:
        return backbone
    layer = keras.layers.Dense(
        hidden, "relu", kernel_initializer=small_weights(), name=HIDDEN_LAYER
    )
    features = layer(backbone.output)
    return keras.Model(backbone.input, features, name=backbone.name)


def feature_network(
    features: Any, dropout: float, hidden: int, unit_length: bool = False
) -> keras.Model:
    """From features of a frozen backbone, or vectors, to what the hash head sees.

    Features are standardised first, x → (x - mean) / deviation, as pooled features differ in scale;
    those that are constant are only centred.

    Args:
        features: Of the training images, [n, D]; they give mean and deviation. An array, or
            `training.data.rows.Rows`.
        dropout: Share of the features that is dropped in training.
        hidden: Units of a hidden layer with ReLU; 0 for none.
        unit_length: Whether features are divided by their length before anything else, as suits
            vectors that are compared by their cosine.

    Returns:
        A model from features [n, D] to [n, hidden or D].
    """
    mean, variance = _mean_and_variance(features, unit_length)
    variance[variance < _SMALLEST_DEVIATION**2] = 1.0
    inputs = keras.Input((features.shape[1],), name="features")
    directions = keras.layers.UnitNormalization(name="unit_length")(inputs)
    standardised = keras.layers.Normalization(
        mean=mean.tolist(), variance=variance.tolist(), name="standardise"
    )(directions if unit_length else inputs)
    kept = keras.layers.Dropout(dropout)(standardised)
    return with_hidden_layer(keras.Model(inputs, kept, name="feature_network"), hidden)


def _mean_and_variance(features: Any, unit_length: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the columns, float64 [D], in two passes by blocks of rows."""

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK].astype(np.float64)
            if unit_length:
                block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), _SMALLEST_LENGTH)
            yield block

    mean = sum(block.sum(axis=0) for block in blocks()) / len(features)
    return mean, sum(((block - mean) ** 2).sum(axis=0) for block in blocks()) / len(features)
