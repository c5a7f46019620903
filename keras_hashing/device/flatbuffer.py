"""A .tflite file as the objects of its schema."""

import os
import struct
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

_IDENTIFIER = b"TFL3"  # bytes 4 to 7 of every .tflite file
_DAMAGE = (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError)


def read_tflite(path: str | os.PathLike[str]) -> bytes:
    """Returns the content of a .tflite file.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it cannot be read.
        ValueError: if it is no .tflite file.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {str(path)!r}") from None
    if content[4:8] != _IDENTIFIER:
        raise ValueError(f"{str(path)!r} is no .tflite file")
    return content


def parse(content: bytes, name: str = "The .tflite file") -> Any:
    """The content of a .tflite file as the objects of its schema.

    Args:
        name: what an error calls it.

    Returns:
        A `schema.ModelT`.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return schema.ModelT.InitFromPackedBuf(content, 0)
    except _DAMAGE as error:
        raise ValueError(f"{name} is damaged: {error}") from error


def serialize(model: Any) -> bytes:
    """The content of the .tflite file of a `schema.ModelT`."""
    return bytes(convert_object_to_bytearray(model))
