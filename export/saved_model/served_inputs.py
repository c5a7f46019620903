"""In which forms a request brings what is encoded: pixels and image files, or vectors."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from export.saved_model.served_search import of_any_shape
from keras_hashing.encoder import VectorInput

if TYPE_CHECKING:
    from keras_hashing.encoder import HashEncoder


class ServedInput(NamedTuple):
    """An input of signatures.

    Attributes:
        spec: its name, shape and dtype.
        codes: what it holds → raw continuous codes [n, K].
        encode: the signature that encodes it.
        search: the signature that encodes it and searches, or `None`.
    """

    spec: tf.TensorSpec
    codes: Callable[[tf.Tensor], tf.Tensor]
    encode: str
    search: str | None


def served_inputs(encoder: "HashEncoder") -> list[ServedInput]:
    """The inputs that an encoder is served with, each with its preprocessing."""
    model, preprocessing = encoder.model, encoder.preprocessing
    input_dtype = model.inputs[0].dtype

    def codes_of(batch: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(batch, input_dtype), training=False)

    if isinstance(preprocessing, VectorInput):
        width = preprocessing.width
        vectors = tf.TensorSpec([None, width], tf.float32, name="vectors")
        return [
            ServedInput(
                vectors,
                lambda batch: codes_of(_checked(batch, width)),
                "encode_vectors",
                "search_vectors",
            )
        ]
    images = tf.TensorSpec([None, None, None, preprocessing.channels], tf.uint8, name="images")
    encoded = tf.TensorSpec([None], tf.string, name="encoded")
    return [
        ServedInput(images, lambda batch: codes_of(preprocessing.resize(batch)), "encode", None),
        ServedInput(
            encoded,
            lambda batch: codes_of(preprocessing.decode_batch(batch)),
            "encode_bytes",
            "search",
        ),
    ]


def _checked(vectors: tf.Tensor, width: int) -> tf.Tensor:
    """The vectors, float32 [n, width], if they are finite; in the graph."""
    vectors = of_any_shape(vectors)
    right_shape = tf.debugging.Assert(
        tf.equal(tf.shape(vectors)[-1], width),
        [f"`vectors` must have shape [n, {width}]. Received:", tf.shape(vectors)],
    )
    with tf.control_dependencies([right_shape]):
        vectors = tf.ensure_shape(vectors, [None, width])
    finite = tf.reduce_all(tf.math.is_finite(vectors), axis=1)
    rows = tf.reshape(tf.where(~finite), [-1])
    all_finite = tf.debugging.Assert(
        tf.reduce_all(finite),
        ["`vectors` must be finite. Received: values that are not, in row", rows],
    )
    with tf.control_dependencies([all_finite]):
        return tf.identity(vectors)
