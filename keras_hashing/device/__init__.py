"""Encoders in .tflite files, run as a phone runs them. It needs neither TensorFlow nor Keras."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_hashing.device.device_encoder import DeviceEncoder
    from keras_hashing.device.metadata import LiteRTMetadata, read_metadata

__all__ = ["DeviceEncoder", "LiteRTMetadata", "read_metadata"]

_ROOMS = {
    "DeviceEncoder": "device_encoder",
    "LiteRTMetadata": "metadata",
    "read_metadata": "metadata",
}


def __getattr__(name: str) -> Any:
    # The kinds of files are known where LiteRT is not installed.
    if name not in _ROOMS:
        raise AttributeError(f"module 'keras_hashing.device' has no attribute {name!r}")
    return getattr(import_module(f"keras_hashing.device.{_ROOMS[name]}"), name)
