"""Warm-up requests: TensorFlow Serving answers them before it calls a version ready."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from keras_hashing.encoder.card import Card, VectorCard
from keras_hashing.retrieval.packed_width import packed_width

WARM_UP = Path("assets.extra", "tf_serving_warmup_requests")  # the name TensorFlow Serving reads


def write_warm_up(folder: str | os.PathLike[str]) -> None:
    """Writes a request for each signature of a version, so that no user's is the first.

    A TFRecord file of `PredictionLog`s. They name no model: the server takes the one it loads.

    Args:
        folder: the version's folder, which has its card.

    Raises:
        OSError: if they cannot be written.
    """
    card = Card.load(folder)
    path = Path(folder, WARM_UP)
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for signature in card.signatures:
                request = PredictRequest(inputs=_inputs(signature, card))
                request.model_spec.signature_name = signature
                log = PredictionLog(predict_log=PredictLog(request=request))
                writer.write(log.SerializeToString())
    except tf.errors.OpError as error:
        raise OSError(f"The warm-up requests cannot be written: {error.message}") from error


def _inputs(signature: str, card: Card) -> dict[str, TensorProto]:
    """The inputs of a request, by name."""
    if signature == "card":
        return {"request": tf.make_tensor_proto([b""])}
    if isinstance(card.preprocessing, VectorCard):
        vector = np.ones((1, card.preprocessing.vector_width), np.float32)
        encoded = rows = {"vectors": tf.make_tensor_proto(vector)}
    else:
        shape = (card.preprocessing.height, card.preprocessing.width, card.preprocessing.channels)
        image = np.full(shape, 128, dtype=np.uint8)
        rows = {"images": tf.make_tensor_proto(image[np.newaxis])}
        encoded = {"encoded": tf.make_tensor_proto([tf.io.encode_png(image).numpy()])}
    if signature in ("encode", "continuous", "serving_default"):
        return rows
    if card.index is None or not signature.startswith("search"):
        return encoded
    # A server that joins requests to batches refuses scalars, and the whole version for them.
    limits = {
        "k": tf.make_tensor_proto([card.index.default_k]),
        "max_distance": tf.make_tensor_proto([card.bits]),
    }
    code = {"code": tf.make_tensor_proto(np.zeros((1, packed_width(card.bits)), dtype=np.uint8))}
    return (code if signature == "search_code" else encoded) | limits
