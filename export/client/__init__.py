"""A client for models that TensorFlow Serving serves; it needs no TensorFlow at run time.

from export.client import Client

with Client("localhost:8500", "fashion") as client:
    ids, distances = client.search(["coat.png"], k=5)
"""

from export.client.async_client import AsyncClient
from export.client.client import Client
from export.client.errors import (
    AccessDeniedError,
    CardUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    ServerUnreachableError,
    ServingError,
)
from export.client.operations import Neighbours
from export.client.tls import Tls

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
    "ServerUnreachableError",
    "ServingError",
    "Tls",
]
