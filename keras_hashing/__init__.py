"""Deep hashing for Keras: images to short binary codes.

Runs on the TensorFlow and the JAX backend of Keras 3; any other is refused on import.
"""

from keras_hashing import (
    backend,
    callbacks,
    layers,
    losses,
    methods,
    metrics,
    models,
    optimizers,
    retrieval,
    rotation,
)

__version__ = "0.1.0"

__all__ = [
    "backend",
    "callbacks",
    "layers",
    "losses",
    "methods",
    "metrics",
    "models",
    "optimizers",
    "retrieval",
    "rotation",
]
