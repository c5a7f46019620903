"""What stands between a backbone's features and the hash head."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from training.data.rows import BLOCK, Rows

HIDDEN_LAYER = "hidden"
_SMALLEST_DEVIATION = 1e-6
_SMALLEST_LENGTH = 1e-12


def small_weights(seed: int | None = None) -> keras.initializers.Initializer:
    """Initial weights of a hidden layer and of the hash head after it: uniform in ±1/√inputs.

    Keras' default is twice as wide and more at these sizes, and the likelihood of raw codes (DPSH,
    DHN) is then saturated from the start. Measured on frozen features: docs/cifar10.md.
    """
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)


def with_layers(network: keras.Model, layers: list[keras.layers.Layer]) -> keras.Model:
    """The network with layers on its output."""
    output = network.output
    for layer in layers:
        output = layer(output)
    return keras.Model(network.input, output, name=network.name) if layers else network


def layers_between(features: Any, dropout: float, hidden: int) -> list[keras.layers.Layer]:
    """Standardises features, x → (x - mean) / deviation, drops some in training, and a layer.

    Pooled features differ in scale, and all are positive: as they are, codes of all images begin
    alike, and pairwise methods may never get apart what is not similar. Those that are constant are
    only centred.

    Args:
        features: They give mean and deviation, [n, D]. An array, or `training.data.rows.Rows`. None
            leaves features as they are; `make_backbone` has dropped some then.
        dropout: Share of the features that is dropped in training.
        hidden: Units of a hidden layer with ReLU; 0 for none.
    """
    layers: list[keras.layers.Layer] = []
    if features is not None:
        mean, variance = _mean_and_variance(features)
        variance[variance < _SMALLEST_DEVIATION**2] = 1.0
        standardise = keras.layers.Normalization(
            mean=mean.tolist(), variance=variance.tolist(), name="standardise"
        )
        layers += [standardise, keras.layers.Dropout(dropout)]
    if hidden:
        small = small_weights()
        layers += [keras.layers.Dense(hidden, "relu", kernel_initializer=small, name=HIDDEN_LAYER)]
    return layers


def feature_network(
    features: Any, dropout: float, hidden: int, unit_length: bool = False
) -> keras.Model:
    """From features of a frozen backbone, or vectors, to what the hash head sees.

    Args:
        features: Of the training images, [n, D]; this and the next two are as in `layers_between`.
        dropout: Share of the features that is dropped in training.
        hidden: Units of a hidden layer with ReLU; 0 for none.
        unit_length: Whether features are divided by their length before anything else, as suits
            vectors that are compared by their cosine.

    Returns:
        A model from features [n, D] to [n, hidden or D].
    """
    inputs = keras.Input((features.shape[1],), name="features")
    directions = keras.layers.UnitNormalization(name="unit_length")(inputs)
    network = keras.Model(inputs, directions if unit_length else inputs, name="feature_network")
    if unit_length:
        features = Rows(features, np.arange(len(features)), _divided_by_length)
    return with_layers(network, layers_between(features, dropout, hidden))


def _divided_by_length(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _SMALLEST_LENGTH)


def _mean_and_variance(features: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the columns, float64 [D], in two passes by blocks of rows."""

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(features), BLOCK):
            yield features[start : start + BLOCK].astype(np.float64)

    mean = sum(block.sum(axis=0) for block in blocks()) / len(features)
    return mean, sum(((block - mean) ** 2).sum(axis=0) for block in blocks()) / len(features)
