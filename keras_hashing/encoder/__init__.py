"""The encoder: from images or vectors to codes, with the name of its code space.

The card and the width of vectors load no Keras.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_hashing.encoder.card import Card
    from keras_hashing.encoder.hash_encoder import HashEncoder
    from keras_hashing.encoder.vector_input import VectorInput

__all__ = ["Card", "HashEncoder", "VectorInput"]

_ROOMS = {"Card": "card", "HashEncoder": "hash_encoder", "VectorInput": "vector_input"}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'keras_hashing.encoder' has no attribute {name!r}")
    return getattr(import_module(f"keras_hashing.encoder.{_ROOMS[name]}"), name)
