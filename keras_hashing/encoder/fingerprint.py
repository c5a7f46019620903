"""The name of a code space."""

import hashlib
import json

import keras
import numpy as np

from keras_hashing.encoder.leaf_layers import leaf_layers
from keras_hashing.images.preprocessing import ImagePreprocessing


def code_space_fingerprint(encoder: keras.Model, preprocessing: ImagePreprocessing) -> str:
    """A name that two models share only if they give the same codes.

    SHA-256 over the encoder's weights (shape, dtype and bytes, in order), its architecture and
    the preprocessing, cut to 16 hexadecimal digits. Codes of two models do not mix: an index and
    a model with different fingerprints must not meet.

    Args:
        encoder: Images to continuous codes.
        preprocessing: What makes the encoder's input of an image file.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    layers = [(type(layer).__name__, _computation(layer)) for layer in leaf_layers(encoder)]
    digest.update(json.dumps([layers, preprocessing.to_config()], sort_keys=True).encode())
    for weight in encoder.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight.value))
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]


def _computation(layer: keras.layers.Layer) -> dict[str, object]:
    """The layer's configuration, but for its name, which counts the layers of a process."""
    config = layer.get_config()
    return {key: repr(config[key]) for key in sorted(config) if key != "name"}
