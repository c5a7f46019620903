"""What stands between a backbone's features and the hash head."""

import keras
import numpy as np

HIDDEN_LAYER = "hidden"
_SMALLEST_DEVIATION = 1e-6


def with_hidden_layer(backbone: keras.Model, hidden: int) -> keras.Model:
    """The backbone with a layer of `hidden` units and ReLU on its features; as it is for 0."""
    if not hidden:
        return backbone
    features = keras.layers.Dense(hidden, "relu", name=HIDDEN_LAYER)(backbone.output)
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
