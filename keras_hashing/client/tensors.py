"""NumPy arrays as TensorFlow's messages of tensors and back, without TensorFlow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_hashing.client.serving_pb2 import DataType, Tensor

# The types of the signatures: DataType, and the field that holds values one by one.
_NUMERIC: dict[str, tuple[DataType, str]] = {
    "uint8": (DataType.Value("DT_UINT8"), "int_val"),
    "int32": (DataType.Value("DT_INT32"), "int_val"),
    "int64": (DataType.Value("DT_INT64"), "int64_val"),
    "float32": (DataType.Value("DT_FLOAT"), "float_val"),
}
_STRING = DataType.Value("DT_STRING")
_NAME_OF = {code: name for name, (code, _) in _NUMERIC.items()}


def tensor_of_array(array: NDArray[Any]) -> Tensor:
    """Returns the message of an array.

    Args:
        array: uint8, int32, int64 or float32; or of objects, all of them bytes.

    Raises:
        TypeError: if it is of another type.
    """
    tensor = Tensor()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if array.dtype == object:
        tensor.dtype = _STRING
        tensor.string_val.extend(array.ravel().tolist())
        return tensor
    if array.dtype.name not in _NUMERIC:
        raise TypeError(f"`array` must be {', '.join(_NUMERIC)} or bytes. Received: {array.dtype}")
    tensor.dtype = _NUMERIC[array.dtype.name][0]
    tensor.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return tensor


def array_of_tensor(tensor: Tensor) -> NDArray[Any]:
    """Returns the array of a message: of objects (bytes) if it holds strings.

    Raises:
        TypeError: if it is of a type that no signature of ours has.
        ValueError: if it holds another number of values than its shape says.
    """
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.dtype == _STRING:
        values: NDArray[Any] = np.empty(len(tensor.string_val), dtype=object)
        values[:] = tensor.string_val
        return values.reshape(shape)
    if tensor.dtype not in _NAME_OF:
        name = data_type_name(tensor.dtype)
        raise TypeError(f"A tensor must be {', '.join(_NUMERIC)} or string. Received: {name}")
    name = _NAME_OF[tensor.dtype]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, np.dtype(name).newbyteorder("<")).reshape(shape)
    field = getattr(tensor, _NUMERIC[name][1])
    if len(field) == 1:  # one value stands for as many as the shape asks for
        return np.full(shape, field[0], dtype=name)
    return np.array(field, dtype=name).reshape(shape)


def data_type_name(number: int) -> str:
    """The name of a `DataType`, such as "DT_UINT8"; of one that no client needs, its number."""
    return DataType.Name(number) if number in DataType.values() else f"type {number}"
