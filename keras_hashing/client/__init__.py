"""A client for models that TensorFlow Serving serves; it needs no TensorFlow at run time.

from keras_hashing.client import Client

with Client("localhost:8500", "fashion") as client:
    ids, distances = client.search(["coat.png"], k=5)
"""

from keras_hashing.client.async_client import AsyncClient
from keras_hashing.client.client import Client
from keras_hashing.client.errors import (
    AccessDeniedError,
    CardUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    ServerBusyError,
    ServerUnreachableError,
    ServingError,
    VersionNotLoadedError,
)
from keras_hashing.client.operations import Neighbours
from keras_hashing.client.tls import Tls

__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "CardUnavailableError",
    "Client",
    "DeadlineExceededError",
    "FingerprintMismatchError",
    "InvalidRequestError",
    "MessageTooLargeError",
    "ModelNotFoundError",
    "Neighbours",
    "ServerBusyError",
    "ServerUnreachableError",
    "ServingError",
    "Tls",
    "VersionNotLoadedError",
]
