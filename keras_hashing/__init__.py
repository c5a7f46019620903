"""Deep hashing for Keras: images to short binary codes.

The parts load when they are first used. `retrieval`, `client`, `device` and the card need neither
Keras nor TensorFlow, and load neither. The others run on the TensorFlow and the JAX backend of
Keras 3; any other is refused. They load together, because `keras.saving.load_model` finds a class
only once its module is there; where Keras is loaded already, that is at the import of this package.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_hashing import (
        backend,
        callbacks,
        client,
        device,
        encoder,
        layers,
        losses,
        methods,
        metrics,
        models,
        optimizers,
        retrieval,
        rotation,
    )

__version__ = "0.1.0"

__all__ = [
    "backend",
    "callbacks",
    "client",
    "device",
    "encoder",
    "layers",
    "losses",
    "methods",
    "metrics",
    "models",
    "optimizers",
    "retrieval",
    "rotation",
]

_WITH_KERAS = [name for name in __all__ if name not in ("client", "device", "encoder", "retrieval")]


def _load_keras_parts() -> None:
    try:
        importlib.import_module("keras")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "This part of keras_hashing needs Keras and one of its backends: "
            "pip install 'keras-hashing[tensorflow]' or 'keras-hashing[jax]'"
        ) from error
    for name in _WITH_KERAS:
        importlib.import_module(f"keras_hashing.{name}")


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'keras_hashing' has no attribute {name!r}")
    # Not from within a part that is being imported: it asks for what it needs.
    if name in _WITH_KERAS and not any(
        f"keras_hashing.{part}" in sys.modules for part in _WITH_KERAS
    ):
        _load_keras_parts()
    return importlib.import_module(f"keras_hashing.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "keras" in sys.modules:
    _load_keras_parts()
