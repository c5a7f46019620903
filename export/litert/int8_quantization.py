"""Full int8 of a float .tflite encoder."""

from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from tensorflow.lite.python.convert import mlir_quantize

from export.litert.activation_ranges import decided_tensor, measure_activations
from export.litert.operators import operator_name
from keras_hashing.device.flatbuffer import parse, serialize


def quantize_int8(content: bytes, inputs: NDArray) -> bytes:
    """Quantizes weights and activations to int8.

    Weights have a scale for each channel, activations one scale and zero point each, which cover
    what `observe` sees. Then the bias of the code is corrected, since a bit is decided at 0:

        bias_k ← bias_k + mean over inputs of (u_k - u_k of int8)

    Source: the empirical bias correction of Nagel et al., "Data-Free Quantization Through Weight
    Equalization and Bias Correction", ICCV 2019, of the last layer alone.

    Measured at 64 px, 32 bits, on EfficientNet-Lite0 with ImageNet weights and an untrained head
    (whitened principal components), calibrated on 200 images of CIFAR-10 and compared on 200
    others: TensorFlow's calibrator keeps 94.6% of the bits, the ranges alone 95.5%, with the bias
    95.7%. Narrower ranges (least squared error, quantiles) and a ridge regression of the head's
    weights on the int8 features gave no more.

    Args:
        content: a float encoder whose tensors have places for their ranges, as the converter's
            calibration leaves it.
        inputs: representative images, uint8 [n, h, w, C], or vectors, float32 [n, D]; n at least 1.

    Returns:
        The content of the int8 file.

    Raises:
        ValueError: if the encoder has control flow.
    """
    seen = measure_activations(content, inputs)
    ranged = _with_ranges(content, seen.ranges)
    int8_codes = measure_activations(_quantize(ranged, inputs.dtype), inputs).continuous
    correction = (seen.continuous - int8_codes).mean(axis=0)
    return _quantize(_with_bias(ranged, correction), inputs.dtype)


def _quantize(content: bytes, input_dtype: np.dtype) -> bytes:
    return mlir_quantize(content, input_data_type=tf.as_dtype(input_dtype))


def _with_ranges(content: bytes, ranges: dict[int, tuple[float, float]]) -> bytes:
    """The encoder with these ranges, where it has any."""
    model = parse(content)
    tensors = model.subgraphs[0].tensors
    for tensor, (least, greatest) in ranges.items():
        quantization = tensors[tensor].quantization
        if quantization is not None and quantization.min is not None:
            quantization.min = np.array([least], np.float32)
            quantization.max = np.array([greatest], np.float32)
    return serialize(model)


def _with_bias(content: bytes, correction: NDArray[np.float32]) -> bytes:
    """The encoder with a correction, [K], added to the bias of its code.

    An activation or a normalization after the last dense layer, which the converter has not
    joined to it, leaves the encoder as it is.
    """
    model = parse(content)
    dense = _code_layer(model)
    if dense is None:
        return content
    graph = model.subgraphs[0]
    weights, bias = (*dense.inputs[1:], -1)[:2]
    values = np.zeros_like(correction)
    if bias >= 0:
        values = np.asarray(model.buffers[graph.tensors[bias].buffer].data).view(np.float32)
    # In new places: another tensor may share the buffer, and the converter drops a bias of zeros.
    buffer = schema.BufferT()
    buffer.data = (values + correction).astype(np.float32).view(np.uint8)
    tensor = schema.TensorT()
    tensor.name = graph.tensors[weights].name + b"/bias"
    tensor.type = schema.TensorType.FLOAT32
    tensor.shape = np.array(correction.shape, np.int32)
    tensor.hasRank = True
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    dense.inputs = np.array([*dense.inputs[:2], len(graph.tensors)], np.int32)
    graph.tensors.append(tensor)
    return serialize(model)


def _code_layer(model: Any) -> Any:
    """The dense layer that writes the continuous code, or `None` if something else does."""
    code = decided_tensor(model)
    for operator in model.subgraphs[0].operators:
        if code in operator.outputs:
            name = operator_name(model.operatorCodes[operator.opcodeIndex])
            plain = schema.ActivationFunctionType.NONE
            if name == "FULLY_CONNECTED" and (
                operator.builtinOptions.fusedActivationFunction == plain
            ):
                return operator
    return None
