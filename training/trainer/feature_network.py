"""What stands between a backbone's features and the hash head."""

import keras
import numpy as np

HIDDEN_LAYER = "hidden"
_SMALLEST_DEVIATION = 1e-6


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


def feature_network(features: np.ndarray, dropout: float, hidden: int) -> keras.Model:
    """From features of a frozen backbone to what the hash head sees.

    Features are standardised first, x → (x - mean) / deviation, as pooled features differ in scale;
    those that are constant are only centred.

    Args:
        features: Of the training images, float32 [n, D]; they give mean and deviation.
        dropout: Share of the features that is dropped in training.
        hidden: Units of a hidden layer with ReLU; 0 for none.

    Returns:
        A model from features [n, D] to [n, hidden or D].
    """
    values = features.astype(np.float64)
    variance = values.var(axis=0)
    variance[variance < _SMALLEST_DEVIATION**2] = 1.0
    inputs = keras.Input((features.shape[1],), name="features")
    standardised = keras.layers.Normalization(
        mean=values.mean(axis=0).tolist(), variance=variance.tolist(), name="standardise"
    )(inputs)
    kept = keras.layers.Dropout(dropout)(standardised)
    return with_hidden_layer(keras.Model(inputs, kept, name="feature_network"), hidden)
