"""An encoder that computes in float32."""

from typing import Any

import keras

from keras_hashing.encoder.leaf_layers import leaf_layers


def float32_encoder(encoder: keras.Model) -> keras.Model:
    """The encoder of a run, or its like in float32 if it computes in half precision.

    The weights of a mixed-precision model are float32 already; its arithmetic is that of the
    machine it was trained on, and LiteRT's operators have no bfloat16.
    """
    if all(layer.compute_dtype == "float32" for layer in leaf_layers(encoder)):
        return encoder

    def in_float32(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    clone = keras.models.clone_model(encoder, clone_function=in_float32, recursive=True)
    clone.set_weights(encoder.get_weights())
    return clone
