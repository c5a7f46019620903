"""The client that is awaited."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.client.calls import ModelMetadata
from keras_hashing.client.client import ClientBase
from keras_hashing.client.errors import ServingError
from keras_hashing.client.grpc_transport import AsyncGrpcTransport
from keras_hashing.client.operations import Neighbours, Pause, Steps, T
from keras_hashing.client.rest_transport import AsyncRestTransport
from keras_hashing.client.rows import Images
from keras_hashing.encoder.card import Card


class AsyncClient(ClientBase):
    """`Client` for programs with an event loop: the same methods, each to be awaited.

    Make it where the loop runs. The requests of one call go one after another; calls may run side
    by side. Files are read in the loop's thread.

    Args: as for `Client`.

    Example:

    >>> async with AsyncClient("localhost:8500", "fashion") as client:
    ...     ids, distances = await client.search(["coat.png"], k=5)
    """

    _transports: ClassVar = {"grpc": AsyncGrpcTransport, "rest": AsyncRestTransport}

    async def encode(self, images: Images) -> NDArray[np.uint8]:
        """Encodes images; see `Client.encode`."""
        return await self._run(self._operations.encode(images))

    async def search(
        self, images: Images, k: int = 10, max_distance: int | None = None
    ) -> Neighbours:
        """Finds what is nearest in the model's index; see `Client.search`."""
        return await self._run(self._operations.search(images, k, max_distance))

    async def encode_vectors(self, vectors: ArrayLike) -> NDArray[np.uint8]:
        """Encodes vectors; see `Client.encode_vectors`."""
        return await self._run(self._operations.encode_vectors(vectors))

    async def search_vectors(
        self, vectors: ArrayLike, k: int = 10, max_distance: int | None = None
    ) -> Neighbours:
        """Finds what is nearest in the model's index; see `Client.search_vectors`."""
        return await self._run(self._operations.search_vectors(vectors, k, max_distance))

    async def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Waits until the server has the model ready; see `Client.wait_until_ready`."""
        return await self._run(self._operations.wait_until_ready(timeout))

    async def model_card(self) -> Card:
        """Returns what the model says about itself; see `Client.model_card`."""
        return await self._run(self._operations.model_card())

    async def metadata(self) -> ModelMetadata:
        """Returns the model's signatures; see `Client.metadata`."""
        return await self._run(self._operations.metadata())

    async def close(self) -> None:
        """Gives the connections back."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        answer: Any = None
        failure: ServingError | None = None
        while True:
            try:
                step = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as stop:
                return stop.value
            answer, failure = None, None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                answer = await self._transport.perform(step.call, step.timeout)
            except ServingError as error:
                failure = error
