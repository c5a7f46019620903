"""What `python -m export` writes, on a server: answers, bad input, changes of version."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from brute_force_model import expected_neighbours
from image_files import (
    GREY,
    animated_gif,
    gif_of_frames,
    huge_jpeg,
    jpeg,
    png_16_bits,
    png_of_zeros,
)
from prediction_server import Batching, LoadedVersion, ModelServer
from server_process import ServerProcess
from serving_binary import serving_binary
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from export.saved_model.export_saved_model import SEARCH_SIGNATURES, SIGNATURES, export_saved_model
from export.saved_model.warm_up import WARM_UP
from export.server.server_config import ServerConfig, batching_config, command_line
from export.versions.checksums import verify_files
from keras_hashing.client import (
    Client,
    DeadlineExceededError,
    InvalidRequestError,
    ServingError,
    VersionNotLoadedError,
)
from keras_hashing.encoder.card import Card
from keras_hashing.files.image_verdict import NO_IMAGE
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import Run

NAME = "colour"


@pytest.fixture(scope="module")
def index(colour_run: Run) -> CodeIndex:
    codes = np.random.default_rng(5).integers(0, 256, (500, 2), dtype=np.uint8)
    return CodeIndex(
        codes, [f"photo/{position}" for position in range(500)], colour_run.encoder.fingerprint
    )


@pytest.fixture(scope="module")
def exported(colour_run: Run, index: CodeIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder with version 1; not to be changed."""
    folder = tmp_path_factory.mktemp("served") / NAME
    export_saved_model(colour_run.encoder, folder, index=index)
    return folder


@pytest.fixture(scope="module")
def served(exported: Path) -> Iterator[ModelServer]:
    with ModelServer(exported, NAME, receive_bytes=2**31 - 1) as server:
        yield server


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, served: ModelServer) -> Iterator[Client]:
    target = {"grpc": served.target, "rest": served.rest_target}[request.param]
    with Client(target, NAME, transport=request.param) as client:
        yield client


@pytest.fixture
def photos() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (20, 12, 10, 3), dtype=np.uint8)


def test_codes_are_those_of_keras(
    client: Client, colour_run: Run, photos: np.ndarray, encode_image: Callable[..., bytes]
) -> None:
    want = colour_run.model.encode(photos)
    np.testing.assert_array_equal(client.encode(photos), want)
    np.testing.assert_array_equal(client.encode([encode_image(image) for image in photos]), want)


@pytest.mark.parametrize("max_distance", [None, 2])
def test_neighbours_are_those_of_brute_force(
    client: Client,
    colour_run: Run,
    index: CodeIndex,
    photos: np.ndarray,
    encode_image: Callable[..., bytes],
    max_distance: int | None,
) -> None:
    codes = colour_run.model.encode(photos)
    limit = 16 if max_distance is None else max_distance
    ids = np.array(list(index.ids))
    want = expected_neighbours(codes, index.codes, ids, 7, limit)
    for images in (photos, codes, [encode_image(image) for image in photos]):
        found = client.search(images, k=7, max_distance=max_distance)
        assert (found.ids.tolist(), found.distances.tolist()) == want


# Batching


def as_generated(model: Path) -> Batching:
    """How a server joins requests by the generated batching.config of a model."""
    config = batching_config(ServerConfig(model_folder=model, batching=True))
    numbers = dict(re.findall(r"^(\w+) { value: (\d+) }", config, re.MULTILINE))
    splits = "\nenable_large_batch_splitting { value: true }" in config
    assert splits == ("max_execution_batch_size" in numbers)
    at_once = int(numbers["max_execution_batch_size"]) if splits else None
    return Batching(int(numbers["max_batch_size"]), at_once, timeout=0.05)


@pytest.fixture(scope="module")
def joining(exported: Path) -> Iterator[ModelServer]:
    """A server that joins requests as the generated batching.config of this model has it."""
    with ModelServer(exported, NAME, batching=as_generated(exported)) as server:
        yield server


@pytest.fixture(scope="module")
def encoder_only(colour_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder with version 1, which has no index."""
    folder = tmp_path_factory.mktemp("encoder") / NAME
    export_saved_model(colour_run.encoder, folder)
    return folder


@pytest.fixture(scope="module")
def served_encoder(encoder_only: Path) -> Iterator[ModelServer]:
    with ModelServer(encoder_only, NAME, receive_bytes=2**31 - 1) as server:
        yield server


@pytest.fixture(scope="module")
def joining_encoder(encoder_only: Path) -> Iterator[ModelServer]:
    batching = as_generated(encoder_only)
    assert (batching.max_batch_size, batching.max_execution_batch_size) == (256, 64)
    with ModelServer(encoder_only, NAME, batching=batching) as server:
        yield server


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize("kind", ["joining", "served", "joining_encoder", "served_encoder"])
def test_any_number_of_images_is_answered(
    kind: str,
    transport: str,
    request: pytest.FixtureRequest,
    colour_run: Run,
    index: CodeIndex,
) -> None:
    server = request.getfixturevalue(kind)
    target = {"grpc": server.target, "rest": server.rest_target}[transport]
    with Client(target, NAME, transport=transport, deadline=120) as client:
        for count in (1, 64, 65, 256, 257, 1000) if transport == "grpc" else (65, 257):
            pixels = np.random.default_rng(count).integers(0, 256, (count, 12, 10, 3), np.uint8)
            codes = client.encode(pixels)
            np.testing.assert_array_equal(codes, colour_run.model.encode(pixels))
            if kind.endswith("encoder"):
                continue
            found = client.search(codes, k=3, max_distance=6)
            np.testing.assert_array_equal(found.distances, index.search(codes, 3, radius=6)[1])


def test_joined_searches_get_what_each_asked_for(
    joining: ModelServer, index: CodeIndex, photos: np.ndarray, colour_run: Run
) -> None:
    codes = colour_run.model.encode(photos)
    with joining.model.version(_spec(1)) as version:
        batches = version.batching.batches
        before = len(batches)

    def search(limits: tuple[int, int]) -> np.ndarray:
        with Client(joining.target, NAME) as client:
            client.model_card()
            ready.wait()
            return client.search(codes, *limits).distances

    limits = [(1, 16), (7, 2), (40, 5), (3, 16)]
    ready = threading.Barrier(len(limits))
    with futures.ThreadPoolExecutor(len(limits)) as pool:
        for (k, radius), found in zip(limits, pool.map(search, limits), strict=True):
            np.testing.assert_array_equal(found, index.search(codes, k, radius=radius)[1])
    assert max(map(len, batches[before:])) > 1


def test_two_clients_of_an_encoder_without_an_index_are_joined(
    joining_encoder: ModelServer, photos: np.ndarray, colour_run: Run
) -> None:
    with joining_encoder.model.version(_spec(1)) as version:
        batches = version.batching.batches
        before = len(batches)
    ready = threading.Barrier(2)

    def encode(part: np.ndarray) -> np.ndarray:
        with Client(joining_encoder.target, NAME) as client:
            client.model_card()
            ready.wait()
            return client.encode(part)

    with futures.ThreadPoolExecutor(2) as pool:
        codes = np.concatenate(list(pool.map(encode, [photos[:13], photos[13:]])))
    np.testing.assert_array_equal(codes, colour_run.model.encode(photos))
    assert sorted(batches[before:][-1]) == [7, 13]


def _spec(version: int) -> object:
    spec = PredictRequest().model_spec
    spec.name, spec.version.value = NAME, version
    return spec


def test_good_files_are_answered_beside_another_clients_bad_one(
    joining: ModelServer, encode_image: Callable[..., bytes], photos: np.ndarray
) -> None:
    ready = threading.Barrier(2)

    def encode(contents: list[bytes]) -> object:
        with Client(joining.target, NAME) as client:
            client.model_card()
            ready.wait()
            try:
                return client.encode(contents).shape
            except InvalidRequestError as error:
                return str(error)

    with futures.ThreadPoolExecutor(2) as pool:
        good, bad = pool.map(encode, [[encode_image(photos[0])] * 3, [b"Dear Sir or Madam"]])
    assert good == (3, 2)
    assert bad == f"image 0 {NO_IMAGE}"


def test_scalars_are_refused_where_requests_are_joined(joining: ModelServer) -> None:
    raw = Raw(joining.target)
    with pytest.raises(grpc.RpcError, match="at least one dimension"):
        raw("search_code", code=CODE, k=int32(3))
    assert raw("search_code", code=CODE)["ids"].shape == (1, 10)  # the defaults of one row
    assert raw("encode", images=np.zeros((256, 4, 4, 3), np.uint8))["code"].shape == (256, 2)
    with pytest.raises(grpc.RpcError, match="Task size 257 is larger than maximum input batch"):
        raw("encode", images=np.zeros((257, 4, 4, 3), np.uint8))


# Bad input


class Raw:
    """Requests as they are, past everything that the client checks."""

    def __init__(self, target: str) -> None:
        self._stub = PredictionServiceStub(grpc.insecure_channel(target))

    def __call__(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        request = PredictRequest()
        request.model_spec.name = NAME
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._stub.Predict(request, timeout=60)
        return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


@pytest.fixture(scope="module")
def raw(served: ModelServer) -> Raw:
    return Raw(served.target)


def strings(*contents: bytes) -> np.ndarray:
    array = np.empty(len(contents), dtype=object)
    array[:] = contents
    return array


def int32(value: object) -> np.ndarray:
    return np.array(value, dtype=np.int32)


NO_IMAGES = {
    "empty": b"",
    "text": b"Dear Sir or Madam",
    "truncated PNG": png_of_zeros(20, 20)[:60],
    "header of a PNG": b"\x89PNG\r\n\x1a\n",
    "PNG with a broken checksum": png_of_zeros(20, 20)[:-20] + b"\0" * 20,
    "WebP": b"RIFF\x24\0\0\0WEBPVP8 ",
}
BOMBS = {  # some hundred kilobytes that would be gigabytes
    "PNG of 12,000×12,000": png_of_zeros(12000, 12000),
    "JPEG of 12,000×12,000": huge_jpeg(12000, 12000),
    "JPEG of 65,500×65,500": huge_jpeg(65500, 65500),
    "PNG of 30,000×30,000": png_of_zeros(30000, 30000, GREY, 1),
    "GIF of many frames": gif_of_frames(8000, 8000, 100),
}
ODD_IMAGES = {
    "truncated JPEG": jpeg(200, 200)[:1000],
    "animated GIF": animated_gif(),
    "CMYK JPEG": jpeg(20, 20, "CMYK"),
    "16-bit PNG": png_16_bits(),
    "1×1": png_of_zeros(1, 1),
    "1×60,000": png_of_zeros(60000, 1),
}
CODE = np.zeros((1, 2), dtype=np.uint8)
BAD_CALLS = {
    "k of 0": ("search_code", {"code": CODE, "k": int32(0)}),
    "negative k": ("search_code", {"code": CODE, "k": int32(-3)}),
    "huge k": ("search_code", {"code": CODE, "k": int32(2**31 - 1)}),
    "k of search": ("search", {"encoded": strings(png_of_zeros(2, 2)), "k": int32(0)}),
    "negative distance": ("search_code", {"code": CODE, "max_distance": int32(-1)}),
    "k of the wrong dtype": ("search_code", {"code": CODE, "k": np.array(3, dtype=np.int64)}),
    "several k": ("search_code", {"code": CODE, "k": int32([3, 4])}),
    "short code": ("search_code", {"code": CODE[:, :1]}),
    "long code": ("search_code", {"code": np.zeros((1, 3), np.uint8)}),
    "code without a batch": ("search_code", {"code": CODE[0]}),
    "code of the wrong dtype": ("search_code", {"code": CODE.astype(np.int32)}),
    "images of the wrong dtype": ("encode", {"images": np.zeros((1, 4, 4, 3), np.float32)}),
    "images of one channel": ("encode", {"images": np.zeros((1, 4, 4, 1), np.uint8)}),
    "images without a batch": ("encode", {"images": np.zeros((4, 4, 3), np.uint8)}),
    "images without pixels": ("encode", {"images": np.zeros((1, 0, 4, 3), np.uint8)}),
    "strings for images": ("encode", {"images": strings(b"x")}),
    "a scalar string": ("encode_bytes", {"encoded": np.array(b"x", dtype=object)}),
    "no input": ("encode", {}),
    "an unknown input": ("encode", {"images": np.zeros((1, 4, 4, 3), np.uint8), "x": CODE}),
    "an unknown signature": ("decode", {"code": CODE}),
}


@pytest.mark.parametrize("signature", ["encode_bytes", "search"])
@pytest.mark.parametrize("content", NO_IMAGES.values(), ids=NO_IMAGES.keys())
def test_what_is_no_image_is_an_invalid_argument(raw: Raw, signature: str, content: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw(signature, encoded=strings(png_of_zeros(3, 3), content))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    check_that_it_goes_on(raw)


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused_by_their_headers(client: Client, content: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="image 1 has more than 67,108,864 pixels"):
        client.encode([png_of_zeros(3, 3), content])
    assert client.encode([png_of_zeros(3, 3)]).shape == (1, 2)


@pytest.mark.parametrize("content", ODD_IMAGES.values(), ids=ODD_IMAGES.keys())
def test_odd_images_are_answered_as_in_training_or_refused(
    raw: Raw, colour_run: Run, content: bytes
) -> None:
    try:
        pixels = colour_run.preprocessing.decode_batch(tf.constant([content])).numpy()
    except tf.errors.InvalidArgumentError:
        with pytest.raises(grpc.RpcError) as caught:
            raw("encode_bytes", encoded=strings(content))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    else:
        answer = raw("encode_bytes", encoded=strings(content))
        np.testing.assert_array_equal(answer["code"], colour_run.model.encode(pixels))
    check_that_it_goes_on(raw)


@pytest.mark.parametrize(("signature", "inputs"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_are_refused(raw: Raw, signature: str, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw(signature, **inputs)
    expected = "FAILED_PRECONDITION" if signature == "decode" else "INVALID_ARGUMENT"
    assert caught.value.code().name == expected
    check_that_it_goes_on(raw)


def check_that_it_goes_on(raw: Raw) -> None:
    assert raw("encode_bytes", encoded=strings(png_of_zeros(3, 3)))["code"].shape == (1, 2)


def test_limits_have_defaults(raw: Raw) -> None:
    assert raw("search_code", code=CODE)["ids"].shape == (1, 10)
    assert raw("search_code", code=CODE, k=int32(4))["ids"].shape == (1, 4)
    assert raw("search_code", code=np.repeat(CODE, 3, 0), k=int32([4]))["ids"].shape == (3, 4)
    assert (raw("search_code", code=CODE, max_distance=int32(0))["distances"] <= 0).all()


def test_the_client_explains_bad_input(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="image 0 is no image"):
        client.encode([b"Dear Sir or Madam"])
    for query in (CODE, [png_of_zeros(3, 3)] * 2):  # it is not the image's fault
        with pytest.raises(InvalidRequestError, match="^`k` must be an integer from 1 to 1000"):
            client.search(query, k=100_000)
    with pytest.raises(InvalidRequestError, match="`code` must have 2 bytes a row"):
        client.search(np.zeros((1, 3), np.uint8))


@pytest.mark.slow
def test_memory_returns_after_bombs_and_large_images(exported: Path) -> None:
    """Nothing is decoded of a bomb. What is just not one takes its pixels for the time it needs.

    oneDNN's allocator would keep some of that for later.
    """
    megapixels = 2**22
    large = [png_of_zeros(2048, 2048), jpeg(2048, 2048)] * 4
    environment = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    with (
        ServerProcess(exported, NAME, environment) as server,
        Client(server.target, NAME, deadline=300) as client,
    ):
        process = psutil.Process(server.pid)
        client.encode([png_of_zeros(3, 3)] * 8)
        before = process.memory_info().rss
        with Peak(process) as peak:
            for content in BOMBS.values():
                with pytest.raises(InvalidRequestError):
                    client.encode([content] * 3)
        assert peak.value - before < 100 * 2**20  # one of them decoded: 400 MB at least
        assert client.encode(large).shape == (8, 2)
        assert client.encode([png_of_zeros(3, 3)]).shape == (1, 2)
        time.sleep(0.5)
        left = process.memory_info().rss - before
    assert left < 8 * 3 * megapixels


class Peak:
    """The largest memory of a process while the block runs, looked at every few milliseconds."""

    def __init__(self, process: psutil.Process) -> None:
        self.value = 0
        self._process, self._stop = process, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *arguments: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.value = max(self.value, self._process.memory_info().rss)


# Versions


@pytest.fixture
def changing(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / NAME)


def test_a_new_version_takes_over_and_no_request_is_lost(
    changing: Path, colour_run: Run, index: CodeIndex, photos: np.ndarray
) -> None:
    codes = colour_run.model.encode(photos)
    renamed = CodeIndex(
        index.codes, [f"new/{row}" for row in range(500)], colour_run.encoder.fingerprint
    )
    want = [index.search(codes, k=5)[1], renamed.search(codes, k=5)[1]]
    problems: list[object] = []
    answered = {"photo": 0, "new": 0}
    stop = threading.Event()

    def ask() -> None:
        with Client(server.target, NAME, retries=0) as client:
            while not stop.is_set():
                try:
                    ids, distances = client.search(codes, k=5)
                except ServingError as error:
                    problems.append(error)
                    return
                answered[ids[0, 0].split("/")[0]] += 1
                if not np.array_equal(distances, want[0]):
                    problems.append(distances)

    with ModelServer(changing, NAME) as server:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        export_saved_model(colour_run.encoder, changing, index=renamed)
        with Client(server.target, NAME, 2) as second:
            assert second.wait_until_ready(60) == 2
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert answered["photo"] > 0
    assert answered["new"] > 0


def test_taking_the_newest_version_away_brings_the_one_before_back(changing: Path) -> None:
    shutil.copytree(changing / "1", changing / "2")
    with ModelServer(changing, NAME) as server, Client(server.target, NAME) as client:
        assert client.wait_until_ready(30) == 2
        (changing / "2").rename(changing / "2.rolled-back")
        with Client(server.target, NAME, 1) as first:
            assert first.wait_until_ready(30) == 1
        assert client.search(CODE).ids.shape == (1, 10)


@pytest.mark.parametrize(
    ("damaged", "how"),
    [
        ("saved_model.pb", "cut"),
        ("variables/variables.index", "one bit"),
        ("variables/variables.data-00000-of-00001", "cut"),
        ("variables/variables.data-00000-of-00001", "one bit"),
    ],
)
def test_a_damaged_version_leaves_the_good_one_served(
    changing: Path, damaged: str, how: str
) -> None:
    """The server finds by its own checks what it reads as damage; the checksums name the file."""
    broken = shutil.copytree(changing / "1", changing.parent / "broken")
    content = bytearray((broken / damaged).read_bytes())
    content[len(content) // 2] ^= 1
    (broken / damaged).write_bytes(content if how == "one bit" else content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"is damaged: {damaged} is not as it was written"):
        verify_files(broken)
    with ModelServer(changing, NAME) as server, Client(server.target, NAME) as client:
        broken.rename(changing / "2")
        assert "version 2 is END" in last_state(server, 2)
        assert client.wait_until_ready(30) == 1
        assert client.search(CODE).ids.shape == (1, 10)


def broken_copy(version: Path, folder: Path) -> Path:
    shutil.copytree(version, folder)
    (folder / "saved_model.pb").write_bytes(b"no graph")
    return folder


def test_a_damaged_version_does_not_hold_up_the_next(changing: Path, tmp_path: Path) -> None:
    """With the generated flags; with TensorFlow Serving's defaults it takes a minute."""
    flags = dict(
        flag.removeprefix("--").split("=", 1)
        for flag in command_line(ServerConfig(model_folder=changing), tmp_path)[1:]
    )
    options = {
        "load_threads": int(flags["num_load_threads"]),
        "load_retries": int(flags["max_num_load_retries"]),
    }
    with ModelServer(changing, NAME, **options) as server:
        broken_copy(changing / "1", tmp_path / "broken").rename(changing / "2")
        assert "version 2 is END" in last_state(server, 2)
        shutil.copytree(changing / "1", tmp_path / "good").rename(changing / "3")
        with Client(server.target, NAME, 3) as client:
            assert client.wait_until_ready(20) == 3


@pytest.mark.parametrize(("threads", "waits"), [(1, True), (2, False)])
def test_retries_hold_a_load_thread(
    threads: int, waits: bool, changing: Path, tmp_path: Path
) -> None:
    """As on TensorFlow Serving; the state is not END before the last retry."""
    broken, good = (
        broken_copy(changing / "1", tmp_path / "broken"),
        shutil.copytree(changing / "1", tmp_path / "good"),
    )
    retry_seconds = 3.0 if waits else 60.0  # the second must not have ended on a slow machine
    options = {"load_threads": threads, "load_retries": 5, "retry_seconds": retry_seconds}
    with ModelServer(changing, NAME, **options) as server:
        broken.rename(changing / "2")
        with Client(server.target, NAME, 2) as client:
            with pytest.raises(DeadlineExceededError, match="version 2 is LOADING"):
                client.wait_until_ready(0.6)
            good.rename(changing / "3")
            with Client(server.target, NAME, 3) as third:
                assert third.wait_until_ready(60) == 3
            state = "ModelNotFound|no version|END" if waits else "version 2 is LOADING"
            with pytest.raises(ServingError, match=state):
                client.wait_until_ready(0.1)


def last_state(server: ModelServer, version: int) -> str:
    """What a client is told of a version that cannot be loaded."""
    with (
        Client(server.target, NAME, version) as client,
        pytest.raises(VersionNotLoadedError) as caught,
    ):
        client.wait_until_ready(30)
    return str(caught.value)


def test_a_half_written_version_is_not_seen(changing: Path) -> None:
    (changing / ".2.0123abcd.partial").mkdir()
    with ModelServer(changing, NAME) as server, Client(server.target, NAME) as client:
        assert client.wait_until_ready(30) == 1


# Card and warm-up


def test_the_served_card_is_the_one_in_the_folder(client: Client, exported: Path) -> None:
    assert client.model_card() == Card.load(exported / "1")


def test_a_request_for_many_cards_is_refused(raw: Raw) -> None:
    answer = raw("card", request=strings(*[b""] * 256))["card"]
    assert len(set(answer.tolist())) == 1
    assert raw("card", request=strings())["card"].shape == (0,)
    with pytest.raises(grpc.RpcError, match="`request` may have at most 256 rows"):
        raw("card", request=strings(*[b""] * 257))


def test_warm_up_requests_are_replayed_before_a_version_is_ready(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = []
    predict = LoadedVersion.predict

    def watched(self: LoadedVersion, model: str, request: object, timeout: float | None) -> object:
        replayed.append(request.model_spec.signature_name)
        return predict(self, model, request, timeout)

    monkeypatch.setattr(LoadedVersion, "predict", watched)
    with ModelServer(exported, NAME) as server, Client(server.target, NAME) as client:
        assert client.wait_until_ready(30) == 1
        assert replayed == SIGNATURES + SEARCH_SIGNATURES


def test_a_version_whose_warm_up_fails_is_not_served(changing: Path) -> None:
    """So it is with TensorFlow Serving: a request that it cannot answer makes the load fail."""
    second = shutil.copytree(changing / "1", changing.parent / "second")
    request = PredictRequest()
    request.model_spec.signature_name = "decode"
    log = PredictionLog(predict_log=PredictLog(request=request))
    with tf.io.TFRecordWriter(str(second / WARM_UP)) as writer:
        writer.write(log.SerializeToString())
    with ModelServer(changing, NAME) as server:
        second.rename(changing / "2")
        assert '"decode" not found' in last_state(server, 2)


@pytest.mark.needs_model_server
def test_tensorflow_serving_itself_serves_an_export(
    exported: Path, colour_run: Run, index: CodeIndex, photos: np.ndarray, tmp_path: Path
) -> None:
    """With the files that `server-config` writes, warm-up and all."""
    with serving_binary(exported, NAME, tmp_path) as targets:
        for transport, target in targets.items():
            with Client(target, NAME, transport=transport) as client:
                assert client.wait_until_ready(120) == 1
                codes = colour_run.model.encode(photos)
                np.testing.assert_array_equal(client.encode(photos), codes)
                assert client.model_card() == Card.load(exported / "1")
                want = expected_neighbours(codes, index.codes, np.array(list(index.ids)), 7)
                found = client.search(photos, k=7)
                assert (found.ids.tolist(), found.distances.tolist()) == want
                for content in BOMBS.values():
                    with pytest.raises(InvalidRequestError, match="image is too large"):
                        client.encode([content])
        raw = Raw(targets["grpc"])
        assert raw("search_code", code=CODE)["ids"].shape == (1, 10)
        for signature, inputs in BAD_CALLS.values():
            with pytest.raises(grpc.RpcError) as caught:
                raw(signature, **inputs)
            assert caught.value.code().name in ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
