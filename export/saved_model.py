"""From a finished run to a SavedModel that TensorFlow Serving serves as it is."""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from export.card import Card
from export.graph_ops import check_standard_ops
from export.version_folders import new_version
from keras_hashing.layers import PackBits

if TYPE_CHECKING:
    from training.runs import Run

SIGNATURES = ["encode", "encode_bytes", "continuous", "serving_default"]


def export_saved_model(
    run: "Run", output: str | os.PathLike[str], version: int | None = None
) -> Path:
    """Writes a run as the next numbered version of a served model.

    The SavedModel has these signatures, each with a free batch dimension (n may be 0):

        encode, serving_default    images uint8 [n, h, w, C]  →  code uint8 [n, K/8]
        encode_bytes               encoded string [n]         →  code uint8 [n, K/8]
        continuous                 images uint8 [n, h, w, C]  →  continuous float32 [n, K]

    Images may have any size; the graph resizes them. `encoded` are image files (JPEG, PNG, …) of
    any sizes. Preprocessing is that of the training. Beside them lies the `Card`.

    The folder appears whole or not at all: it is written under a name that TensorFlow Serving
    ignores, checked to hold standard ops only, and renamed.

    Args:
        run: a finished run, as `training.runs.load_run` reads it.
        output: the model's folder, made if need be; versions are folders in it.
        version: a positive int, or `None` for the one after the highest (1 if there is none).

    Returns:
        The version's folder, `output/<version>`.

    Raises:
        FileExistsError: if that version exists.
        OSError: if it cannot be written (disk full, no permission, `output` is a file, …).
        ValueError: if `version` is not a positive int, the model has weights that are not finite,
            its graph needs ops that TensorFlow Serving lacks, or Keras runs on another backend
            than TensorFlow.
    """
    _check_model(run)
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"The output must be a folder. Received a file: {output}")
    number = new_version(output, version)
    made_here = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    final = output / str(number)
    temporary = output / f".{number}.{secrets.token_hex(4)}.partial"
    try:
        _write_graph(run, temporary)
        check_standard_ops(temporary)
        Card.of_run(run, SIGNATURES).save(temporary)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if made_here:
            with suppress(OSError):  # another export may have used it
                output.rmdir()
        raise
    return final


def _check_model(run: "Run") -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A SavedModel is exported on the TensorFlow backend of Keras: set "
            f"KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}"
        )
    for weight in run.model.encoder.weights:
        if not tf.reduce_all(tf.math.is_finite(tf.cast(weight.value, tf.float32))):
            raise ValueError(
                f"The model's weights must be finite. Received: {weight.path} with values that "
                "are not (the training has diverged)"
            )


def _write_graph(run: "Run", folder: Path) -> None:
    """Writes the SavedModel without its card."""
    encoder, preprocessing = run.model.encoder, run.preprocessing
    input_dtype = encoder.inputs[0].dtype
    pack = PackBits()

    def codes_of(pixels: tf.Tensor) -> tf.Tensor:
        return encoder(tf.cast(pixels, input_dtype), training=False)

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": pack(codes_of(preprocessing.resize(images)))}

    def encode_bytes(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": pack(codes_of(preprocessing.decode_batch(encoded)))}

    def continuous(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"continuous": tf.cast(codes_of(preprocessing.resize(images)), tf.float32)}

    images = tf.TensorSpec([None, None, None, preprocessing.channels], tf.uint8, name="images")
    encoded = tf.TensorSpec([None], tf.string, name="encoded")
    archive = keras.export.ExportArchive()
    archive.track(encoder)  # lookup tables and other assets of its layers
    archive.add_endpoint("encode", encode, [images])  # the first is `serving_default` as well
    archive.add_endpoint("encode_bytes", encode_bytes, [encoded])
    archive.add_endpoint("continuous", continuous, [images])
    try:
        archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as error:  # TensorFlow's own name for a full disk, for example
        raise OSError(f"The SavedModel cannot be written to {folder}: {error.message}") from error
