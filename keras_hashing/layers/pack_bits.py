"""The layer that packs a code in bytes."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class PackBits(keras.layers.Layer):
    """Packs the signs of a code in bytes, in the order of `numpy.packbits`.

    Bit k is 1 where u_k > 0; the first bit is the most significant bit of the first byte. The
    arithmetic is in int32: a float weighted sum returns zeros once a converter has quantized it
    to int8.

    Input shape:
        (…, bits), bits a multiple of 8: continuous or ±1 codes.

    Output shape:
        (…, bits / 8), dtype uint8.

    Raises:
        ValueError: if the last axis is not a positive multiple of 8.
    """

    def build(self, input_shape: tuple) -> None:
        """Checks the number of bits."""
        if not input_shape[-1] or input_shape[-1] % 8:
            raise ValueError(
                "PackBits packs 8 bits a byte, so the last axis of its input must be a positive "
                f"multiple of 8. Received: input_shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """(…, bits) → uint8 (…, bits / 8)."""
        bits = ops.cast(inputs > 0, "int32")
        octets = ops.reshape(bits, (*ops.shape(inputs)[:-1], inputs.shape[-1] // 8, 8))
        place_values = ops.convert_to_tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype="int32")
        return ops.cast(ops.sum(octets * place_values, axis=-1), "uint8")

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        """uint8, an eighth of the last axis."""
        shape = (*inputs.shape[:-1], inputs.shape[-1] // 8)
        return keras.KerasTensor(shape, dtype="uint8")
