"""Both clients against a server: over gRPC and REST, and TensorFlow Serving's own where it is."""

import asyncio
import pickle
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
from brute_force_model import BITS, FINGERPRINT, expected_codes, expected_neighbours, save_model
from prediction_server import ModelServer
from serving_binary import free_ports, serving_binary

from keras_hashing.client import (
    AsyncClient,
    CardUnavailableError,
    Client,
    DeadlineExceededError,
    FingerprintMismatchError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    ServerUnreachableError,
    ServingError,
    Tls,
)

NAME = "thumbs"


class Awaiting:
    """An `AsyncClient` with the methods of a `Client`, so that one test serves both."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._make(arguments, options))

    async def _make(self, arguments: tuple, options: dict) -> AsyncClient:
        return AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Callable:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._loop.run_until_complete(
            method(*arguments, **options)
        )

    def __enter__(self) -> "Awaiting":
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()
        self._loop.close()


@pytest.fixture(scope="module")
def own_server(
    model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """TensorFlow Serving's binary, with the files that are written for it."""
    with serving_binary(model_folder, NAME, tmp_path_factory.mktemp("config")) as targets:
        yield targets


@pytest.fixture(
    params=["test", pytest.param("tensorflow_model_server", marks=pytest.mark.needs_model_server)]
)
def targets(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "test":
        server = request.getfixturevalue("server")
        return {"grpc": server.target, "rest": server.rest_target}
    return request.getfixturevalue("own_server")


@pytest.fixture(params=["grpc", "rest"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[Client, Awaiting], ids=["waits", "awaited"])
def client(
    request: pytest.FixtureRequest, targets: dict[str, str], transport: str
) -> Iterator[Client]:
    with request.param(targets[transport], NAME, transport=transport) as client:
        client.wait_until_ready(60)
        yield client


@pytest.fixture
def files(pixels: np.ndarray, encode_image: Callable[..., bytes]) -> list[bytes]:
    return [encode_image(image[..., 0]) for image in pixels]


def test_pixels_get_their_codes(client: Client, pixels: np.ndarray) -> None:
    codes = client.encode(pixels)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, expected_codes(pixels))


def test_files_get_their_codes(
    client: Client, pixels: np.ndarray, files: list[bytes], tmp_path: Path
) -> None:
    want = expected_codes(pixels)
    np.testing.assert_array_equal(client.encode(files), want)
    paths = [tmp_path / f"{row}.png" for row in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    np.testing.assert_array_equal(client.encode(paths), want)
    np.testing.assert_array_equal(client.encode([str(path) for path in paths]), want)


@pytest.mark.parametrize("k", [1, 5, 400])
@pytest.mark.parametrize("max_distance", [None, 0, 3])
@pytest.mark.parametrize("kind", ["pixels", "files", "codes"])
def test_searches_find_what_brute_force_finds(
    client: Client,
    pixels: np.ndarray,
    files: list[bytes],
    index_codes: np.ndarray,
    index_ids: np.ndarray,
    k: int,
    max_distance: int | None,
    kind: str,
) -> None:
    queries = {"pixels": pixels[:6], "files": files[:6], "codes": expected_codes(pixels[:6])}
    ids, distances = client.search(queries[kind], k=k, max_distance=max_distance)
    limit = BITS if max_distance is None else max_distance
    want = expected_neighbours(expected_codes(pixels[:6]), index_codes, index_ids, k, limit)
    assert (ids.tolist(), distances.tolist()) == want
    assert (ids.dtype.kind, distances.dtype) == ("U", np.int32)


def test_nothing_is_answered_with_nothing(client: Client) -> None:
    assert client.encode([]).shape == (0, 2)
    assert client.search([], k=4).ids.shape == (0, 4)
    assert client.search(np.zeros((0, 2), np.uint8), k=4).distances.shape == (0, 4)


def test_card_and_signatures_are_told(client: Client) -> None:
    card = client.model_card()
    assert (card.bits, card.fingerprint) == (BITS, FINGERPRINT)
    metadata = client.metadata()
    assert (metadata.bits, metadata.version) == (BITS, 3)
    assert metadata.signatures["search"].inputs["encoded"] == ("string", (None,))
    assert metadata.signatures["search"].inputs["k"] == ("int32", ())
    assert metadata.signatures["encode"].inputs["images"] == ("uint8", (None, None, None, 1))


def test_a_bad_image_is_named(client: Client, files: list[bytes], tmp_path: Path) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_bytes(b"no image")
    good = tmp_path / "good.png"
    good.write_bytes(files[0])
    with pytest.raises(InvalidRequestError, match="image 5 is no image"):
        client.encode([*files[:5], b"no image", *files[5:]])
    with pytest.raises(InvalidRequestError, match="notes.txt' is no image"):
        client.search([good, good, bad])
    with pytest.raises(FileNotFoundError, match="absent.png"):
        client.encode([tmp_path / "absent.png"])


def test_what_the_model_cannot_take_is_an_invalid_request(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="shape"):
        client.search(np.zeros((1, 3), np.uint8))
    with pytest.raises(InvalidRequestError, match="`k` must be at most 1000"):
        client.search(np.zeros((1, 2), np.uint8), k=2**31 - 1)


def test_versions_can_be_pinned(
    targets: dict[str, str], transport: str, pixels: np.ndarray
) -> None:
    with Client(targets[transport], NAME, 3, transport=transport) as client:
        np.testing.assert_array_equal(client.encode(pixels), expected_codes(pixels))
        assert client.wait_until_ready(5) == 3
    with Client(targets[transport], NAME, 4, transport=transport) as client:
        with pytest.raises(ModelNotFoundError):
            client.encode(pixels)
        with pytest.raises(DeadlineExceededError, match="'thumbs' version 4 is not ready"):
            client.wait_until_ready(0.1)


def test_an_unknown_model_is_told(targets: dict[str, str], transport: str) -> None:
    with (
        Client(targets[transport], "absent", transport=transport) as client,
        pytest.raises(ModelNotFoundError, match="absent"),
    ):
        client.encode([b"a"])


def test_fingerprints_are_compared(
    targets: dict[str, str], transport: str, pixels: np.ndarray
) -> None:
    for fingerprint in (FINGERPRINT, "another"):
        options = {"transport": transport, "fingerprint": fingerprint}
        with Client(targets[transport], NAME, **options) as client:
            if fingerprint == FINGERPRINT:
                np.testing.assert_array_equal(client.encode(pixels), expected_codes(pixels))
            else:
                with pytest.raises(FingerprintMismatchError, match="another"):
                    client.search(pixels)


@pytest.mark.parametrize("kind", [Client, Awaiting])
def test_an_absent_server_is_told(kind: type, transport: str) -> None:
    (port,) = free_ports(1)
    with kind(f"127.0.0.1:{port}", NAME, transport=transport, retries=1) as client:
        started = time.monotonic()
        with pytest.raises(ServerUnreachableError, match=f"{port} cannot be reached") as caught:
            client.encode([b"a"])
        assert time.monotonic() - started < 5
        assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("kind", [Client, Awaiting])
def test_a_silent_server_runs_into_the_deadline(kind: type, transport: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = {"transport": transport, "deadline": 0.5}
        with kind(f"127.0.0.1:{port}", NAME, **options) as client:
            started = time.monotonic()
            with pytest.raises((DeadlineExceededError, ServerUnreachableError)):
                client.encode([b"a"])
            assert time.monotonic() - started < 5


def test_a_server_that_starts_late_is_waited_for(
    model_folder: Path, transport: str, pixels: np.ndarray
) -> None:
    (port,) = free_ports(1)
    place = {"grpc": {"port": port}, "rest": {"rest_port": port}}[transport]
    with Client(f"127.0.0.1:{port}", NAME, transport=transport, retries=20) as client:
        codes: list[np.ndarray] = []
        asking = threading.Thread(target=lambda: codes.append(client.encode(pixels)))
        asking.start()
        time.sleep(0.5)
        with ModelServer(model_folder, NAME, **place):
            asking.join(60)
        np.testing.assert_array_equal(codes[0], expected_codes(pixels))


@pytest.mark.parametrize("kind", [Client, Awaiting])
def test_many_images_go_in_requests_below_the_limit(
    server: ModelServer, kind: type, encode_image: Callable[..., bytes]
) -> None:
    """The server refuses requests above 4 MiB, as gRPC does by default."""
    images = np.random.default_rng(3).integers(0, 256, (30, 700, 700, 1), dtype=np.uint8)  # 14 MiB
    with kind(server.target, NAME) as client:
        whole = client.encode(images)
        one_by_one = np.concatenate([client.encode(images[row : row + 1]) for row in range(30)])
        np.testing.assert_array_equal(whole, one_by_one)
        files = [encode_image(image[..., 0]) for image in images]
        assert sum(map(len, files)) > 8 * 2**20
        np.testing.assert_array_equal(client.encode(files), whole)


def test_large_answers_come_in_parts(
    server: ModelServer, index_codes: np.ndarray, index_ids: np.ndarray
) -> None:
    queries = np.repeat(index_codes, 2, axis=0)
    with Client(server.target, NAME, max_message_bytes=2**16, max_batch_size=600) as client:
        ids, distances = client.search(queries, k=300)
    want = expected_neighbours(queries, index_codes, index_ids, 300)
    assert (ids.tolist(), distances.tolist()) == want


def test_an_image_above_the_servers_limit_is_named(server: ModelServer, files: list[bytes]) -> None:
    with (
        Client(server.target, NAME) as client,
        pytest.raises(MessageTooLargeError, match=r"image 1: .*larger than max"),
    ):
        client.encode([files[0], b"y" * 5 * 2**20])


def test_metadata_goes_with_each_request(transport: str) -> None:
    headers = rest_headers() if transport == "rest" else grpc_headers()
    assert headers["authorization"] == "Bearer x"


def rest_headers() -> dict[str, str]:
    """The headers of a request, as a bare socket sees them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        received: list[bytes] = []

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                received.append(connection.recv(65536))
                body = b'{"error": "stop"}'
                connection.sendall(
                    b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
                )

        thread = threading.Thread(target=answer)
        thread.start()
        port = listening.getsockname()[1]
        options = {"transport": "rest", "metadata": {"Authorization": "Bearer x"}}
        with (
            Client(f"127.0.0.1:{port}", NAME, **options) as client,
            pytest.raises(PermissionError, match="stop"),
        ):
            client.metadata()
        thread.join()
    lines = received[0].decode().split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines if ": " in line]
    return {name.lower(): value for name, value in pairs}


def grpc_headers() -> dict[str, str]:
    seen: list[dict[str, str]] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> None:
            seen.append(dict(details.invocation_metadata))

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    metadata = {"Authorization": "Bearer x"}
    with Client(f"127.0.0.1:{port}", NAME, metadata=metadata) as client:
        with pytest.raises(ServingError) as caught:
            client.metadata()
        assert caught.value.code == "UNIMPLEMENTED"
    server.stop(None).wait()
    return seen[0]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that vouches for itself, for the name `serving.test`, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=serving.test", "-addext", "subjectAltName=DNS:serving.test"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.mark.parametrize("kind", [Client, Awaiting])
@pytest.mark.parametrize("mutual", [False, True])
def test_connections_can_be_encrypted(
    model_folder: Path,
    certificate: tuple[Path, Path],
    pixels: np.ndarray,
    kind: type,
    mutual: bool,
) -> None:
    chain, key = certificate
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), chain.read_bytes())],
        root_certificates=chain.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )
    own = {"certificate": chain, "private_key": key} if mutual else {}
    trusting = Tls(chain, server_name="serving.test", **own)
    with ModelServer(model_folder, NAME, credentials=credentials) as server:
        with kind(server.target, NAME, credentials=trusting) as client:
            np.testing.assert_array_equal(client.encode(pixels), expected_codes(pixels))
        wary = {"credentials": Tls(server_name="serving.test"), "retries": 0}
        with (
            kind(server.target, NAME, **wary) as client,
            pytest.raises(ServerUnreachableError),
        ):
            client.encode(pixels)


def test_a_client_serves_many_threads(server: ModelServer, pixels: np.ndarray) -> None:
    want = expected_codes(pixels)
    problems: list[object] = []

    def ask(client: Client) -> None:
        for row in range(30):
            position = row % len(pixels)
            if not np.array_equal(
                client.encode(pixels[position : position + 1]), want[position : position + 1]
            ):
                problems.append(position)

    with Client(server.target, NAME) as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


def test_awaited_calls_run_side_by_side(server: ModelServer, pixels: np.ndarray) -> None:
    async def ask() -> list[np.ndarray]:
        async with AsyncClient(server.target, NAME) as client:
            return await asyncio.gather(*(client.encode(pixels) for _ in range(20)))

    for codes in asyncio.run(ask()):
        np.testing.assert_array_equal(codes, expected_codes(pixels))


@pytest.fixture
def changing_folder(tmp_path: Path, index_codes: np.ndarray) -> Path:
    folder = tmp_path / NAME
    save_model(folder / "1", index_codes, np.arange(300), with_card=False)
    return folder


def test_integer_ids_stay_integers(
    changing_folder: Path, transport: str, index_codes: np.ndarray
) -> None:
    with ModelServer(changing_folder, NAME) as server:
        target = {"grpc": server.target, "rest": server.rest_target}[transport]
        with Client(target, NAME, transport=transport) as client:
            ids, distances = client.search(index_codes[:3], k=302, max_distance=9)
            want = expected_neighbours(index_codes[:3], index_codes, np.arange(300), 302, 9)
            assert ids.dtype == np.int64
            assert (ids.tolist(), distances.tolist()) == want
            assert client.search([], k=2).ids.dtype == np.int64
            with pytest.raises(CardUnavailableError, match="no signature `card`"):
                client.model_card()
        options = {"transport": transport, "model_folder": changing_folder}
        with Client(target, NAME, fingerprint=FINGERPRINT, **options) as client:
            assert client.model_card().fingerprint == FINGERPRINT
            client.encode(np.zeros((1, 4, 4, 1), np.uint8))


def test_a_version_of_another_code_space_is_noticed(
    changing_folder: Path, index_codes: np.ndarray, transport: str
) -> None:
    image = np.zeros((1, 4, 4, 1), np.uint8)
    with ModelServer(changing_folder, NAME) as server:
        target = {"grpc": server.target, "rest": server.rest_target}[transport]
        options = {"transport": transport, "model_folder": changing_folder}
        with Client(target, NAME, fingerprint=FINGERPRINT, **options) as client:
            client.encode(image)
            save_model(changing_folder / "2", index_codes, np.arange(300), fingerprint="another")
            with Client(target, NAME, 2, transport=transport) as second:
                second.wait_until_ready(30)
            with pytest.raises(FingerprintMismatchError, match="another"):
                client.encode(image)


@pytest.mark.parametrize(
    ("target", "options", "error"),
    [
        ("host:1", {"transport": "udp"}, ValueError),
        ("ftp://host", {"transport": "rest"}, ValueError),
        ("http://host", {"transport": "rest", "credentials": Tls()}, ValueError),
        (
            "host:1",
            {"transport": "rest", "credentials": grpc.ssl_channel_credentials()},
            TypeError,
        ),
    ],
)
def test_bad_options_are_refused(target: str, options: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match="`transport`|`target`|`credentials`"):
        Client(target, NAME, **options)


def test_errors_can_be_sent_to_other_processes() -> None:
    error = pickle.loads(pickle.dumps(InvalidRequestError("no image", "OUT_OF_RANGE")))
    assert (str(error), error.code, type(error)) == (
        "no image",
        "OUT_OF_RANGE",
        InvalidRequestError,
    )
    assert isinstance(error, ValueError)
    assert isinstance(error, OSError)
