"""The layers of a model that compute."""

import keras


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that compute, in order, with nested models opened."""
    layers: list[keras.layers.Layer] = []
    for layer in model.layers:
        layers.extend(leaf_layers(layer) if isinstance(layer, keras.Model) else [layer])
    return layers
