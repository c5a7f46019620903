"""What one process does while others wait for it, and one device for others."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def undistributed() -> Iterator[None]:
    """Keras makes variables for this process alone, not for all: its saving makes some."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


@contextmanager
def synchronized(model: keras.Model, value: bool) -> Iterator[None]:
    """Whether batch normalization is over all devices of TensorFlow, also in a file saved here.

    JAX loads no layer that is synchronized.
    """
    # `layers` of a model leaves out those of its method.
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [layer.synchronized for layer in layers]
    try:
        for layer in layers:
            layer.synchronized = value
        yield
    finally:
        for layer, as_before in zip(layers, before, strict=True):
            layer.synchronized = as_before
