"""The graph of the encoder that LiteRT's converter starts from."""

import os
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from export.litert.float32_encoder import float32_encoder
from keras_hashing.layers import PackBits

if TYPE_CHECKING:
    from keras_hashing.encoder import HashEncoder

SIGNATURE = "encode"
INPUTS = {False: (tf.uint8, "image"), True: (tf.float32, "vector")}  # whether of vectors


def write_encoder_graph(
    encoder: "HashEncoder", folder: str | os.PathLike[str], free_batch: bool, continuous: bool
) -> None:
    """Writes a SavedModel with the one signature `encode`.

        image uint8 [1, h, w, C]  →  code uint8 [1, K/8]  (and continuous float32 [1, K])

    or with vector float32 [1, D] in place of the image. Images have the size of the encoder's
    preprocessing: there is no resize in the graph.

    **The decision u > 0.** Written as a comparison, full int8 makes it one of two int8 tensors,
    and LiteRT rescales both to a common scale in which a small step rounds to zero: codes whose
    values are below about 0.1 lose bits, and below 0.001 all of them. Its operator SIGN has a
    float form only, so the converter dequantizes u first, zero point and all, and the comparison
    is one of int32.

    Args:
        free_batch: whether n images or vectors may come at a time, in place of one.
        continuous: whether to give the continuous code as well.

    Raises:
        OSError: if it cannot be written.
    """
    model, pack = float32_encoder(encoder.model), PackBits()
    input_dtype = model.inputs[0].dtype

    def encode(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = tf.cast(model(tf.cast(batch, input_dtype), training=False), tf.float32)
        outputs = {"code": pack(tf.cast(tf.sign(codes), tf.int32))}
        if continuous:
            outputs["continuous"] = codes
        return outputs

    shape = [None if free_batch else 1, *encoder.preprocessing.shape]
    dtype, name = INPUTS[encoder.takes_vectors]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(SIGNATURE, encode, [tf.TensorSpec(shape, dtype, name=name)])
    try:
        archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as error:  # TensorFlow's own name for a full disk, for example
        raise OSError(f"The graph cannot be written to {folder}: {error.message}") from error
