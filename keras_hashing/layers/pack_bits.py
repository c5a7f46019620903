"""The layer that packs a code in bytes."""

from typing import Any

import keras
from keras import ops

from keras_hashing.retrieval.packed_width import packed_width

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class PackBits(keras.layers.Layer):
    """Packs the signs of a code in bytes, in the order of `numpy.packbits`.

    Bit k is 1 where u_k > 0; the first bit is the most significant bit of the first byte. The
    arithmetic is in int32: a float weighted sum returns zeros once a converter has quantized it
    to int8.

    Input shape:
        (…, bits): continuous or ±1 codes.

    Output shape:
        (…, bits / 8), rounded up, dtype uint8: zero bits fill the last byte.

    Raises:
        ValueError: if the number of bits is not known, or 0.
    """

    def build(self, input_shape: tuple) -> None:
        """Checks the number of bits."""
        if not input_shape[-1]:
            raise ValueError(
                "The last axis of PackBits' input must be the bits of a code, at least one. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """(…, bits) → uint8 (…, bits / 8, rounded up)."""
        bits, width = ops.cast(inputs > 0, "int32"), packed_width(inputs.shape[-1])
        padding = 8 * width - inputs.shape[-1]
        if padding:
            bits = ops.pad(bits, [[0, 0]] * (len(inputs.shape) - 1) + [[0, padding]])
        octets = ops.reshape(bits, (*ops.shape(inputs)[:-1], width, 8))
        place_values = ops.convert_to_tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype="int32")
        return ops.cast(ops.sum(octets * place_values, axis=-1), "uint8")

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        """uint8, an eighth of the last axis, rounded up."""
        shape = (*inputs.shape[:-1], packed_width(inputs.shape[-1]))
        return keras.KerasTensor(shape, dtype="uint8")
