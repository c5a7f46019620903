"""The name of a code space."""

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_hashing.encoder.leaf_layers import leaf_layers

if TYPE_CHECKING:
    from keras_hashing.encoder.vector_input import VectorInput
    from keras_hashing.images.preprocessing import ImagePreprocessing

# The settings by which Keras' own layers compute, beside their weights. Others (names,
# initializers, regularizers, momentum) make no difference to a code, and a new version of Keras may
# add some.
_SETTINGS = frozenset(
    {
        "activation",
        "alpha",
        "axis",
        "center",
        "cropping",
        "data_format",
        "depth_multiplier",
        "dilation_rate",
        "dims",
        "epsilon",
        "filters",
        "groups",
        "height",
        "interpolation",
        "invert",
        "keepdims",
        "kernel_size",
        "max_value",
        "mean",
        "n",
        "negative_slope",
        "num_heads",
        "offset",
        "output_padding",
        "padding",
        "pool_size",
        "rms_scaling",
        "scale",
        "size",
        "strides",
        "target_shape",
        "threshold",
        "units",
        "use_bias",
        "variance",
        "width",
    }
)


# Settings of our own layers that came after the first fingerprint; none of them changes a code.
_ADDED_SINCE = frozenset({"quantization_memory"})


def code_space_fingerprint(
    encoder: keras.Model, preprocessing: "ImagePreprocessing | VectorInput | None" = None
) -> str:
    """A name that two models share only if they give the same codes.

    SHA-256 over the preprocessing, the architecture (class, output shape and settings of each layer
    in order) and the weights (shape, dtype and bytes, in order), cut to 16 hexadecimal digits.
    Codes of two models do not mix: an index and a model with different fingerprints must not meet.

    Args:
        encoder: images to continuous codes.
        preprocessing: what makes the encoder's input of an image file; `None` where arrays are
            encoded as they are.

    Returns:
        16 hexadecimal digits.
    """
    return _fingerprint(encoder, preprocessing, _signature)


def first_fingerprint(
    encoder: keras.Model, preprocessing: "ImagePreprocessing | VectorInput"
) -> str:
    """The name that version 0.1 gave to a code space until it was kept in `encoder.json`.

    It takes in the `repr` of every layer's whole configuration, which changes with Keras. It is
    here to recognise indexes and models that bear it.
    """
    return _fingerprint(encoder, preprocessing, _whole_configuration)


def _fingerprint(
    encoder: keras.Model,
    preprocessing: "ImagePreprocessing | VectorInput | None",
    describe: Callable[[keras.layers.Layer], list],
) -> str:
    digest = hashlib.sha256()
    layers = [describe(layer) for layer in leaf_layers(encoder)]
    digest.update(
        json.dumps([layers, preprocessing and preprocessing.to_config()], sort_keys=True).encode()
    )
    for weight in encoder.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight.value))
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]


def _signature(layer: keras.layers.Layer) -> list:
    config = layer.get_config()
    own = type(layer).__module__.split(".")[0] in ("keras", "keras_hashing")
    settings = {
        name: _plain(value)
        for name, value in config.items()
        if name in _SETTINGS or (not own and name not in ("name", "trainable"))
    }
    settings["dtype"] = layer.compute_dtype
    shape = getattr(layer, "output", None)
    return [type(layer).__name__, _shape(shape), settings]


def _shape(output: Any) -> list | None:
    """The shape of a layer's output without the batch, where it has one output."""
    shape = getattr(output, "shape", None)
    return None if shape is None else list(shape[1:])


def _plain(value: Any) -> Any:
    """A setting as JSON: numbers, texts and lists of them; of an object the name of its class."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return value.get("class_name") or value.get("registered_name") or sorted(value)
    return type(value).__name__


def _whole_configuration(layer: keras.layers.Layer) -> list:
    config = layer.get_config()
    return [
        type(layer).__name__,
        {key: repr(config[key]) for key in sorted(config) if key not in ("name", *_ADDED_SINCE)},
    ]
