"""Both clients against a served encoder of vectors; the oracle is the Keras model."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from prediction_server import Batching, ModelServer
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from export.saved_model.export_saved_model import export_saved_model
from export.server.server_config import ServerConfig, batching_config
from keras_hashing.client import AsyncClient, Client, InvalidRequestError
from keras_hashing.encoder import HashEncoder
from keras_hashing.retrieval import CodeIndex

NAME = "texts"


@pytest.fixture(scope="module")
def server(
    vector_encoder: HashEncoder, vector_index: CodeIndex, tmp_path_factory
) -> Iterator[ModelServer]:
    """A server that joins requests, as the generated configuration has it."""
    folder = tmp_path_factory.mktemp("served") / NAME
    export_saved_model(vector_encoder, folder, index=vector_index)
    assert "max_batch_size { value: 256 }" in batching_config(
        ServerConfig(model_folder=folder, batching=True)
    )
    with ModelServer(folder, NAME, batching=Batching(256, timeout=0.05)) as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, server: ModelServer) -> Iterator[Client]:
    target = server.target if request.param == "grpc" else server.rest_target
    with Client(target, NAME, transport=request.param, max_batch_size=17) as client:
        client.wait_until_ready(60)
        yield client


def test_vectors_get_their_codes(
    client: Client, vector_encoder: HashEncoder, vectors: np.ndarray
) -> None:
    want = vector_encoder.encode(vectors)
    np.testing.assert_array_equal(client.encode_vectors(vectors), want)
    np.testing.assert_array_equal(client.encode_vectors(vectors.tolist()), want)
    assert client.encode_vectors(vectors[:0]).shape == (0, 2)
    assert client.model_card().vector_width == 5


def test_vectors_find_what_their_codes_find(
    client: Client, vector_encoder: HashEncoder, vector_index: CodeIndex, vectors: np.ndarray
) -> None:
    codes = vector_encoder.encode(vectors)
    for k, radius in ((3, None), (40, 2)):
        found = client.search_vectors(vectors, k, radius)
        positions, distances = vector_index.search(codes, k, radius)
        np.testing.assert_array_equal(found.distances, distances)
        ids = np.array([*vector_index.ids, ""])[positions]  # -1 is the last
        np.testing.assert_array_equal(found.ids, ids)
        by_code = client.search(codes, k, radius)
        np.testing.assert_array_equal(by_code.ids, found.ids)
    assert client.search_vectors(vectors[:0], 3).ids.shape == (0, 3)


def test_the_client_that_is_awaited_finds_the_same(
    server: ModelServer, vector_encoder: HashEncoder, vector_index: CodeIndex, vectors: np.ndarray
) -> None:
    async def ask() -> tuple[np.ndarray, np.ndarray]:
        async with AsyncClient(server.target, NAME) as client:
            codes = await client.encode_vectors(vectors)
            return codes, (await client.search_vectors(vectors, k=4)).distances

    codes, distances = asyncio.run(ask())
    np.testing.assert_array_equal(codes, vector_encoder.encode(vectors))
    np.testing.assert_array_equal(distances, vector_index.search(codes, 4)[1])


@pytest.mark.parametrize("method", ["encode_vectors", "search_vectors"])
def test_bad_vectors_are_refused(client: Client, method: str, vectors: np.ndarray) -> None:
    send, bad = getattr(client, method), vectors.copy()
    bad[23, 1] = np.nan
    with pytest.raises(ValueError, match="must be finite.*in row 23"):
        send(bad)
    bad[23] = 0
    with pytest.raises(ValueError, match="not zero. Received: zeros alone, in row 23"):
        send(bad)
    with pytest.raises(ValueError, match=r"must have shape \[n, D\]. Received: shape=\(5,\)"):
        send(vectors[0])
    with pytest.raises(ValueError, match="must hold real numbers"):
        send([["a"] * 5])
    with pytest.raises(InvalidRequestError):
        send(vectors[:, :4])


def test_good_vectors_are_answered_beside_another_clients_bad_one(
    server: ModelServer, vector_encoder: HashEncoder, vectors: np.ndarray
) -> None:
    ready = threading.Barrier(2)
    bad = PredictRequest(inputs={"vectors": tf.make_tensor_proto(np.full((1, 5), np.nan, "f4"))})
    bad.model_spec.name, bad.model_spec.signature_name = NAME, "encode_vectors"

    def send_bad(stub: PredictionServiceStub) -> str:
        ready.wait()
        with pytest.raises(grpc.RpcError) as raised:
            stub.Predict(bad)
        return str(raised.value)

    with (
        Client(server.target, NAME) as client,
        grpc.insecure_channel(server.target) as channel,
        futures.ThreadPoolExecutor(1) as pool,
    ):
        client.model_card()
        refused = pool.submit(send_bad, PredictionServiceStub(channel))
        ready.wait()
        codes = client.encode_vectors(vectors)
        assert "`vectors` must be finite" in refused.result()
    np.testing.assert_array_equal(codes, vector_encoder.encode(vectors))
