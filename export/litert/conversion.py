"""LiteRT's converter."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from export.litert.encoder_graph import INPUTS, SIGNATURE
from export.litert.int8_quantization import quantize_int8
from keras_hashing.device.kinds import Kind


def convert(
    folder: str | os.PathLike[str], kind: Kind, calibration: NDArray | None = None
) -> bytes:
    """Converts the graph of an encoder.

    Args:
        folder: a SavedModel of `write_encoder_graph`.
        calibration: for "int8", representative inputs: see `quantize_int8`.

    Returns:
        The content of the .tflite file.

    Raises:
        ValueError: if the graph needs operators that LiteRT does not have (they are named), or
            there is no calibration input for "int8".
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    inputs = _check_calibration(calibration) if kind == "int8" else None
    if inputs is not None:
        _only_prepare_int8(converter, inputs[:1])
    try:
        content = converter.convert()
        return content if inputs is None else quantize_int8(content, inputs)
    except Exception as error:  # the converter has no class of its own for what it refuses
        raise ValueError(
            f"LiteRT's converter cannot make a {kind} file of the encoder: {_reason(error)}"
        ) from error


def convert_search(folder: str | os.PathLike[str]) -> bytes:
    """Converts a SavedModel with the signature `search`, as it is."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["search"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def _only_prepare_int8(converter: Any, one: NDArray) -> None:
    """Lets the converter stop before it quantizes; one input makes the places for the ranges."""
    dtype, name = INPUTS[one.dtype == np.float32]

    def representative() -> Iterator[tuple[str, dict[str, NDArray]]]:
        yield SIGNATURE, {name: one}

    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = dtype
    converter._experimental_calibrate_only = True


def _check_calibration(inputs: NDArray | None) -> NDArray:
    if inputs is None or len(inputs) == 0:
        raise ValueError("Full int8 needs representative inputs. Received: none")
    return inputs


def _reason(error: Exception) -> str:
    """The lines that name operators, or else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("TF Select ops:", "Custom ops:"))]
    return "; ".join(dict.fromkeys(named)) or (lines or [type(error).__name__])[0]
