"""The client that waits for its answers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.client.calls import Model, ModelMetadata
from keras_hashing.client.errors import ServingError
from keras_hashing.client.grpc_transport import Credentials, GrpcTransport
from keras_hashing.client.operations import Neighbours, Operations, Pause, Settings, Steps, T
from keras_hashing.client.rest_transport import RestTransport
from keras_hashing.client.rows import Images
from keras_hashing.encoder.card import LARGEST_REQUEST, Card

TransportName = Literal["grpc", "rest"]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class ClientBase:
    """What `Client` and `AsyncClient` are made with."""

    _transports: ClassVar[dict[str, Any]]

    def __init__(
        self,
        target: str,
        model: str,
        version: int | None = None,
        label: str | None = None,
        *,
        transport: TransportName = "grpc",
        deadline: float = 30.0,
        retries: int = 4,
        credentials: Credentials = None,
        metadata: Headers = (),
        max_message_bytes: int = 4 * 2**20,
        max_batch_size: int = LARGEST_REQUEST,
        fingerprint: str | None = None,
        model_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self._operations = Operations(
            Settings(
                Model(model, version, label),
                deadline,
                retries,
                max_message_bytes,
                max_batch_size,
                fingerprint,
                None if model_folder is None else Path(model_folder),
            )
        )
        if transport not in self._transports:
            raise ValueError(f"`transport` must be 'grpc' or 'rest'. Received: {transport!r}")
        pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
        limits = {"max_message_bytes": max_message_bytes} if transport == "grpc" else {}
        self._transport = self._transports[transport](
            target,
            credentials,
            [(name.lower(), value) for name, value in pairs],  # lower case, as gRPC wants them
            **limits,
        )


class Client(ClientBase):
    """Codes and searches from a model that TensorFlow Serving serves.

    Requests are cut so that neither they nor their answers are above `max_message_bytes`, and
    joined again in order. A server that cannot be reached is tried again with growing pauses;
    nothing else is. A client may be used by many threads.

    What fails is one of `keras_hashing.client.errors`, all of them `ServingError`.

    Args:
        target: "host:port" (gRPC 8500, REST 8501 by TensorFlow Serving's custom); for REST also a
            URL.
        model: the model's name on the server.
        version: the version to use; `None` for the one that the server prefers, the highest.
        label: a version's label in the server's configuration, instead of `version`.
        transport: "grpc" or "rest".
        deadline: seconds for a request with its retries and their pauses. A call that is cut
            makes several requests.
        retries: how often a server that cannot be reached is tried again.
        credentials: `Tls`, gRPC's own channel credentials, or `None` for an open connection.
        metadata: pairs that go with each request (HTTP headers, in REST).
        max_message_bytes: the bytes of a request and of an answer at most; gRPC's own default is
            4 MiB. One image file that is larger is sent by itself all the same.
        max_batch_size: the images, vectors or codes of a request at most; it bounds the memory that
            one request takes on the server. A server that joins requests refuses larger ones than
            its own limit; they are then halved.
        fingerprint: the code space that is expected. Before the first request, and whenever
            another version answers, it is compared with the model's card; a mismatch is an error.
            REST answers do not name their version, so there the card of one version counts for
            all answers of a call.
        model_folder: the folder of the model's versions, to read the card from if the served
            model has no signature `card`.

    Raises:
        ValueError: if an argument breaks its rule.

    Example:

    >>> with Client("localhost:8500", "fashion") as client:
    ...     client.wait_until_ready(60)
    ...     codes = client.encode(["coat.png", "shoe.png"])
    ...     ids, distances = client.search(codes, k=5)
    """

    _transports: ClassVar = {"grpc": GrpcTransport, "rest": RestTransport}

    def encode(self, images: Images) -> NDArray[np.uint8]:
        """Encodes images.

        Args:
            images: pixels, uint8 [n, h, w, C]; or n paths of image files; or the contents of n
                image files. n may be 0.

        Returns:
            Packed codes, uint8, shape [n, K/8].

        Raises:
            ServingError: if a request fails; an image that the model refuses is named.
            OSError: if a file cannot be read.
            TypeError, ValueError: if `images` is none of these.
        """
        return self._run(self._operations.encode(images))

    def search(self, images: Images, k: int = 10, max_distance: int | None = None) -> Neighbours:
        """Finds what is nearest in the model's index.

        Args:
            images: as for `encode`; or packed codes, uint8 [n, K/8]. Pixels make two requests:
                they are encoded, and the same version is asked for the neighbours of the codes.
            k: items to find, at least 1.
            max_distance: the largest Hamming distance to go to; `None` for any.

        Returns:
            Ids (int64 or str) and Hamming distances, each of shape [n, k]. Rows with fewer items
            end in ids of -1 or "" with distances of -1.

        Raises: as `encode`.
        """
        return self._run(self._operations.search(images, k, max_distance))

    def encode_vectors(self, vectors: ArrayLike) -> NDArray[np.uint8]:
        """Encodes vectors, for a model of vectors.

        Args:
            vectors: real numbers [n, D], finite, none of zeros alone; n may be 0.

        Returns:
            Packed codes, uint8, shape [n, K/8].

        Raises:
            ServingError: if a request fails.
            ValueError: if `vectors` are none; a row that is not finite, or zero, is named.
        """
        return self._run(self._operations.encode_vectors(vectors))

    def search_vectors(
        self, vectors: ArrayLike, k: int = 10, max_distance: int | None = None
    ) -> Neighbours:
        """Finds what is nearest in the model's index, for a model of vectors.

        Args:
            vectors: as for `encode_vectors`. With codes, uint8 [n, K/8], `search` does it.
            k: as for `search`.
            max_distance: as for `search`.

        Returns: as `search`.

        Raises: as `encode_vectors`.
        """
        return self._run(self._operations.search_vectors(vectors, k, max_distance))

    def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Waits until the server has the model (in the version asked for) ready.

        Returns:
            The version that is ready; the highest, if there are several.

        Raises:
            VersionNotLoadedError: if the server could not load the version that is asked for.
            DeadlineExceededError: if it is not within `timeout` seconds; the last state is told.
        """
        return self._run(self._operations.wait_until_ready(timeout))

    def model_card(self) -> Card:
        """Returns what the model says about itself.

        TensorFlow Serving gives no other file of a model, so the card comes from the model's
        signature `card`, or from `model_folder`.

        Raises:
            CardUnavailableError: if there is neither.
        """
        return self._run(self._operations.model_card())

    def metadata(self) -> ModelMetadata:
        """Returns the model's signatures, their inputs and outputs, and the length of its codes."""
        return self._run(self._operations.metadata())

    def close(self) -> None:
        """Gives the connections back."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        answer: Any = None
        failure: ServingError | None = None
        while True:
            try:
                step = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as stop:
                return stop.value
            answer, failure = None, None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                answer = self._transport.perform(step.call, step.timeout)
            except ServingError as error:
                failure = error
