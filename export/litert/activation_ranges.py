"""What the tensors of a .tflite encoder hold while it encodes."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from export.litert.operators import operator_name
from keras_hashing.device.flatbuffer import parse


@dataclass(frozen=True, eq=False)
class Activations:
    """What was seen of an encoder's float tensors.

    Args:
        ranges: the least and the greatest value of each tensor that an operator writes, and of the
            input, by its index; 0 is always within.
        continuous: the continuous codes, float32 [n, K].
    """

    ranges: dict[int, tuple[float, float]]
    continuous: NDArray[np.float32]


def measure_activations(content: bytes, inputs: NDArray) -> Activations:
    """Encodes images or vectors one at a time, and looks at every float tensor after each.

    No delegate takes part, and no tensor's memory is used again by another. TensorFlow's own
    calibrator does without the second: where LiteRT adds in place, it takes the sum's range for
    that of the summand as well, which in a residual network is every block's.

    Args:
        content: a .tflite encoder.
        inputs: images, uint8 [n, h, w, C], or vectors, float32 [n, D].

    Raises:
        ValueError: if the encoder has control flow.
    """
    model = parse(content)
    if len(model.subgraphs) != 1:
        raise ValueError(
            "Full int8 needs an encoder without control flow. "
            f"Received: {len(model.subgraphs)} subgraphs"
        )
    graph = model.subgraphs[0]
    written = {*graph.inputs, *(tensor for one in graph.operators for tensor in one.outputs)}
    floats = sorted(i for i in written if graph.tensors[i].type == schema.TensorType.FLOAT32)
    code = decided_tensor(model)
    interpreter = Interpreter(
        model_content=content,
        num_threads=os.cpu_count(),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    least, greatest = np.zeros(len(floats)), np.zeros(len(floats))
    continuous = []
    for one in inputs:
        interpreter.set_tensor(graph.inputs[0], one[np.newaxis])
        interpreter.invoke()
        values = [interpreter.get_tensor(tensor) for tensor in floats]
        least = np.minimum(least, [value.min() for value in values])
        greatest = np.maximum(greatest, [value.max() for value in values])
        continuous.append(interpreter.get_tensor(code)[0])
    ranges = dict(zip(floats, zip(least.tolist(), greatest.tolist(), strict=True), strict=True))
    return Activations(ranges, np.stack(continuous))


def decided_tensor(model: Any) -> int:
    """The index of the continuous code: the input of the last operator SIGN."""
    signs = [
        operator
        for operator in model.subgraphs[0].operators
        if operator_name(model.operatorCodes[operator.opcodeIndex]) == "SIGN"
    ]
    return int(signs[-1].inputs[0])
