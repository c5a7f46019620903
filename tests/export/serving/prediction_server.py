"""A model server for tests: what a client can tell of TensorFlow Serving, on loopback only.

It runs a SavedModel in a TF1 session, found by its tag and called by its signature, as the server's
core does; fills in the defaults of a signature's inputs; maps errors to the same codes; watches the
model's folder, loads the highest version, replays its warm-up records, and lets the one before
finish what it has begun. A version that cannot be loaded is tried again as often as it is told,
and holds its load thread meanwhile; only then is its state END. With `Batching` requests are joined
under the server's rules. It is test code, not a product: no version labels from a configuration
file, one model.

    python tests/export/serving/prediction_server.py --model-base-path models/fashion \
        --model-name fashion

prints one line of JSON with the ports it has taken, and serves until its standard input closes.
"""

import argparse
import base64
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.python.client import pywrap_tf_session as tf_session
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
DEFAULT_SIGNATURE = "serving_default"
GRPC_CODE = {code.value[0]: code for code in grpc.StatusCode}  # the numbers are TensorFlow's too
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
State = get_model_status_pb2.ModelVersionStatus.State


def invalid(message: str) -> tf.errors.OpError:
    return tf.errors.InvalidArgumentError(None, None, message)


@dataclass(frozen=True)
class Batching:
    """As `--enable_batching` with a batching.config; see `BatchingParameters`.

    Without splitting `max_batch_size` limits what is computed at once as well.
    """

    max_batch_size: int
    max_execution_batch_size: int | None = None
    timeout: float = 0.002


@dataclass
class Task:
    """A request, or a part of one, that waits for its batch."""

    feed: dict[str, np.ndarray]
    done: threading.Event
    values: list[np.ndarray] | None = None
    error: tf.errors.OpError | None = None

    @property
    def rows(self) -> int:
        return len(next(iter(self.feed.values())))


class BatchingSession:
    """Joins what is run under the same signature, as the server's session of that name does."""

    def __init__(self, run: Callable[..., list[np.ndarray]], batching: Batching) -> None:
        self._run, self._batching = run, batching
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, ...], list[Task]] = {}
        self.batches: list[list[int]] = []  # the rows of each request or part in each batch

    def run(self, feed: dict[str, np.ndarray], fetches: list[str]) -> list[np.ndarray]:
        if any(value.ndim == 0 for value in feed.values()):
            raise invalid("Batching input tensors must have at least one dimension")
        rows = {len(value) for value in feed.values()}
        if len(rows) != 1:
            raise invalid(
                "Batching input tensors supplied in a given call must have equal 0th-dimension size"
            )
        (count,) = rows
        limit = self._batching.max_batch_size
        if count > limit:
            raise invalid(f"Task size {count} is larger than maximum input batch size {limit}")
        at_once = self._batching.max_execution_batch_size or limit
        tasks = [
            Task(
                {name: value[start : start + at_once] for name, value in feed.items()},
                threading.Event(),
            )
            for start in range(0, max(count, 1), at_once)
        ]
        parts = [self._joined(task, fetches, at_once) for task in tasks]
        try:
            return [np.concatenate(values) for values in zip(*parts, strict=True)]
        except ValueError as error:
            raise invalid(f"The parts of a request cannot be put together: {error}") from error

    def _joined(self, task: Task, fetches: list[str], at_once: int) -> list[np.ndarray]:
        """The answer to a task; the first of a batch waits for others and runs it."""
        key = (*sorted(task.feed), *fetches)
        with self._lock:
            batch = self._waiting.get(key)
            if batch is None or sum(other.rows for other in batch) + task.rows > at_once:
                batch = self._waiting[key] = [task]
            else:
                batch.append(task)
        if batch[0] is task:
            task.done.wait(self._batching.timeout)  # nobody sets it: others join meanwhile
            with self._lock:
                if self._waiting.get(key) is batch:
                    del self._waiting[key]
            self._run_batch(batch, fetches)
        task.done.wait()
        if task.error is not None:
            raise task.error
        assert task.values is not None
        return task.values

    def _run_batch(self, batch: list[Task], fetches: list[str]) -> None:
        self.batches.append([task.rows for task in batch])
        try:
            feed = {
                name: np.concatenate([task.feed[name] for task in batch]) for name in batch[0].feed
            }
            values = self._run(feed, fetches, None)
            ends = np.cumsum([task.rows for task in batch])[:-1]
            parts = zip(*(np.split(value, ends) for value in values), strict=True)
            for task, part in zip(batch, parts, strict=True):
                task.values = list(part)
        except (tf.errors.OpError, ValueError) as error:
            problem = error
            if isinstance(error, ValueError):  # images of two sizes
                problem = tf.errors.FailedPreconditionError(None, None, str(error))
            for task in batch:
                task.error = problem
        for task in batch:
            task.done.set()


class LoadedVersion:
    """A version in memory; it counts the requests that run in it."""

    def __init__(self, folder: Path, version: int, batching: Batching | None = None) -> None:
        self.version = version
        self.batching = batching and BatchingSession(self._run, batching)
        self._running = 0
        self._idle = threading.Condition()
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = meta_graph.signature_def
        self._replay_warmup(folder)

    def _replay_warmup(self, folder: Path) -> None:
        if not (folder / WARMUP).is_file():
            return
        for record in tf.compat.v1.io.tf_record_iterator(str(folder / WARMUP)):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            self.predict("", log.predict_log.request, timeout=None)

    @contextmanager
    def in_use(self) -> Iterator[Self]:
        with self._idle:
            self._running += 1
        try:
            yield self
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """Waits for what runs, then frees the memory."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)
        self._session.close()

    def signature(self, name: str) -> Any:
        if name not in self.signatures:
            raise tf.errors.FailedPreconditionError(
                None, None, f'Serving signature key "{name}" not found.'
            )
        return self.signatures[name]

    def predict(
        self, model: str, request: predict_pb2.PredictRequest, timeout: float | None
    ) -> predict_pb2.PredictResponse:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self.signature(name)
        feed = feed_of_request(signature, request.inputs)
        aliases = list(request.output_filter) or list(signature.outputs)
        for alias in aliases:
            if alias not in signature.outputs:
                raise invalid(f"output tensor alias not found in signature: {alias}")
        fetches = [signature.outputs[alias].name for alias in aliases]
        values = (
            self._run(feed, fetches, timeout)
            if self.batching is None
            else self.batching.run(feed, fetches)
        )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = model
        response.model_spec.signature_name = name
        response.model_spec.version.value = self.version
        for alias, value in zip(aliases, values, strict=True):
            response.outputs[alias].CopyFrom(field_proto(value))
        return response

    def _run(
        self, feed: dict[str, np.ndarray], fetches: list[str], timeout: float | None
    ) -> list[np.ndarray]:
        """Runs the graph as C++ does: `Session.run` of Python would check the shapes first."""
        options = tf.compat.v1.RunOptions()
        if timeout is not None:
            options.timeout_in_ms = max(1, int(timeout * 1000))
        buffer = tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            return self._session._call_tf_sessionrun(
                buffer,
                {self._output(name): value for name, value in feed.items()},
                [self._output(name) for name in fetches],
                [],
                None,
            )
        finally:
            tf_session.TF_DeleteBuffer(buffer)

    def _output(self, name: str) -> Any:
        return self._session.graph.get_tensor_by_name(name)._as_tf_output()


def feed_of_request(signature: Any, inputs: Any) -> dict[str, np.ndarray]:
    """What `saved_model::GetInputValues` does: defaults fill in, unknown names are refused."""
    feed = {}
    for alias, info in signature.inputs.items():
        if alias in inputs:
            proto = inputs[alias]
        elif alias in signature.defaults:
            proto = signature.defaults[alias]
        else:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and "
                "no default value provided."
            )
        if proto.dtype != info.dtype:
            raise invalid(
                f"Expects arg {alias} to be {tf.dtypes.as_dtype(info.dtype).name} but "
                f"{tf.dtypes.as_dtype(proto.dtype).name} is provided"
            )
        try:
            feed[info.name] = tf.make_ndarray(proto)
        except (TypeError, ValueError) as error:
            raise invalid(f"tensor parsing error: {alias}") from error
    unknown = set(inputs) - set(signature.inputs)
    if unknown:
        raise invalid(f"Inputs contains invalid name. Received: {sorted(unknown)}")
    return feed


def field_proto(value: Any) -> Any:
    """A tensor with its values in a typed field, one by one, as the server writes them."""
    array = np.asarray(value)
    proto = tf.make_tensor_proto(array.ravel()[:0] if array.size else array, shape=array.shape)
    if array.dtype == object:
        proto.string_val.extend(array.ravel().tolist())
    elif array.dtype == np.int64:
        proto.int64_val.extend(array.ravel().tolist())
    elif array.dtype == np.float32:
        proto.float_val.extend(array.ravel().tolist())
    else:
        proto.int_val.extend(array.ravel().tolist())
    return proto


class ServedModel:
    """The versions in a folder, of which the highest is served; see `ModelServer`."""

    def __init__(
        self,
        name: str,
        base_path: Path,
        poll_seconds: float,
        batching: Batching | None,
        load_threads: int,
        load_retries: int,
        retry_seconds: float,
    ) -> None:
        self.name = name
        self._batching = batching
        self._load_retries, self._retry_seconds = load_retries, retry_seconds
        self._loaders = futures.ThreadPoolExecutor(load_threads)
        self._wanted: int | None = None
        self._base_path = base_path
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._available: dict[int, LoadedVersion] = {}
        self._states: dict[int, tuple[int, str]] = {}
        self._failed: set[int] = set()  # at least once
        self._stop = threading.Event()
        self._poll()
        while any(state in (State.START, State.LOADING) for state, _ in self._states.values()):
            if self._wanted in self._failed:
                break
            self._stop.wait(0.01)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def close(self) -> None:
        self._stop.set()
        self._watcher.join()
        self._loaders.shutdown()
        for version in self._available.values():
            version.close()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            self._poll()

    def _poll(self) -> None:
        versions = {
            int(path.name): path
            for path in self._base_path.iterdir()
            if path.name.isdigit() and path.is_dir()
        }
        if not versions:
            return  # the server keeps what it has
        self._wanted = wanted = max(versions)
        with self._lock:
            new = wanted not in self._states
            if new:
                self._states[wanted] = (State.START, "")
        if new:
            self._loaders.submit(self._load, wanted, versions[wanted])
        if wanted in self._available:
            for version in [version for version in self._available if version != wanted]:
                self._unload(version)

    def _load(self, version: int, folder: Path) -> None:
        """Loads a version, on a load thread; one that is no longer wanted is not tried again."""
        self._set_state(version, State.LOADING)
        for attempt in range(self._load_retries + 1):
            if attempt and (self._stop.wait(self._retry_seconds) or self._wanted != version):
                break
            try:
                loaded = LoadedVersion(folder, version, self._batching)
            except Exception as error:
                problem = str(error).splitlines()[0]
                self._failed.add(version)
                continue
            with self._lock:
                self._available[version] = loaded
                self._states[version] = (State.AVAILABLE, "")
            return
        self._set_state(version, State.END, problem)

    def _set_state(self, version: int, state: int, problem: str = "") -> None:
        with self._lock:
            self._states[version] = (state, problem)

    def _unload(self, version: int) -> None:
        with self._lock:
            old = self._available.pop(version)
            self._states[version] = (State.UNLOADING, "")
        old.close()
        self._states.pop(version)

    def states(self, spec: Any) -> list[tuple[int, int, str]]:
        with self._lock:
            states = [(version, *state) for version, state in sorted(self._states.items())]
        if spec.HasField("version"):
            states = [state for state in states if state[0] == spec.version.value]
        if spec.name != self.name or not states:
            raise tf.errors.NotFoundError(
                None, None, f"Could not find any versions of model {spec.name}"
            )
        return states

    @contextmanager
    def version(self, spec: Any) -> Iterator[LoadedVersion]:
        """The version that a request means, held until the request is done."""
        if spec.version_label:
            raise tf.errors.InvalidArgumentError(
                None, None, f"Unrecognized servable version label: {spec.version_label}"
            )
        with self._lock:
            wanted = (
                spec.version.value
                if spec.HasField("version")
                else max(self._available, default=None)
            )
            if spec.name != self.name or wanted not in self._available:
                asked = (
                    f"Specific({spec.name}, {spec.version.value})"
                    if spec.HasField("version")
                    else f"Latest({spec.name})"
                )
                raise tf.errors.NotFoundError(
                    None, None, f"Servable not found for request: {asked}"
                )
            use = self._available[wanted].in_use()
            version = use.__enter__()
        try:
            yield version
        finally:
            use.__exit__(None, None, None)

    def predict(self, request: Any, timeout: float | None) -> Any:
        with self.version(request.model_spec) as version:
            return version.predict(self.name, request, timeout)

    def status(self, spec: Any) -> get_model_status_pb2.GetModelStatusResponse:
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state, problem in self.states(spec):
            status = response.model_version_status.add(version=number, state=state)
            status.status.error_code = 2 if problem else 0
            status.status.error_message = problem
        return response

    def metadata(self, spec: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.version(spec) as version:
            response.model_spec.name = self.name
            response.model_spec.version.value = version.version
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in version.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        timeout = context.time_remaining()
        return _answer(context, lambda: self._model.predict(request, timeout))

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(context, lambda: self._model.metadata(request.model_spec))


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _answer(context, lambda: self._model.status(request.model_spec))


def _answer(context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
    try:
        return answer()
    except tf.errors.OpError as error:
        context.abort(GRPC_CODE[error.error_code], error.message)


class RestHandler(BaseHTTPRequestHandler):
    """TensorFlow Serving's JSON rules, as its REST document states them."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write
    disable_nagle_algorithm = True
    model: ServedModel
    _PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict)?$")

    def do_GET(self) -> None:
        self._reply(self._get)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._reply(lambda: self._predict(body))

    def log_message(self, *arguments: object) -> None:
        pass

    def _parsed(self) -> tuple[Any, str]:
        found = self._PATH.match(self.path)
        if not found:
            raise invalid(f"Malformed request: {self.command} {self.path}")
        spec = predict_pb2.PredictRequest().model_spec
        spec.name = found[1]
        if found[2]:
            spec.version.value = int(found[2])
        return spec, found[3] or ""

    def _get(self) -> str:
        spec, resource = self._parsed()
        if resource == "/metadata":
            response = self.model.metadata(spec)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            response.metadata["signature_def"].Unpack(signatures)
            definitions = json_format.MessageToDict(
                signatures,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            version = str(response.model_spec.version.value)
            return json.dumps(
                {
                    "model_spec": {"name": spec.name, "signature_name": "", "version": version},
                    "metadata": {"signature_def": definitions},
                }
            )
        return json_format.MessageToJson(
            self.model.status(spec),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    def _predict(self, content: bytes) -> str:
        spec, resource = self._parsed()
        if resource != ":predict":
            raise invalid(f"Malformed request: POST {self.path}")
        try:
            body = json.loads(content)
        except ValueError as error:
            raise invalid(f"JSON Parse error: {error}") from error
        request = predict_pb2.PredictRequest(model_spec=spec)
        name = body.get("signature_name", DEFAULT_SIGNATURE)
        request.model_spec.signature_name = name
        with self.model.version(spec) as version:
            if name not in version.signatures:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            signature = version.signatures[name]
            for alias, info in signature.inputs.items():  # with a default or not
                if alias not in body.get("inputs", {}):
                    raise invalid(f"Missing named input: {alias} in 'inputs' object.")
                request.inputs[alias].CopyFrom(json_tensor(body["inputs"][alias], info.dtype))
            response = version.predict(self.model.name, request, timeout=30.0)
        outputs = {
            alias: json_value(alias, tf.make_ndarray(proto))
            for alias, proto in response.outputs.items()
        }
        only = next(iter(outputs.values())) if len(outputs) == 1 else outputs
        return json.dumps({"outputs": only}, indent=4)

    def _reply(self, answer: Callable[[], str]) -> None:
        try:
            status, content = 200, answer()
        except tf.errors.OpError as error:
            status = HTTP_STATUS.get(GRPC_CODE[error.error_code].name, 500)
            content = json.dumps({"error": error.message})
        data = content.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


class RestServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # connections that wait; five by default


def json_tensor(values: Any, dtype: int) -> Any:
    """A JSON value of a request as a tensor; `{"b64": …}` is decoded, other types are refused."""
    kind = tf.dtypes.as_dtype(dtype)

    def leaves(value: Any) -> Any:
        if isinstance(value, list):
            return [leaves(item) for item in value]
        if kind == tf.string:
            if isinstance(value, dict) and list(value) == ["b64"]:
                return base64.b64decode(value["b64"])
            if isinstance(value, str):
                return value.encode()
        elif type(value) in ((int, float) if kind.is_floating else (int,)):  # no bool
            return value
        raise invalid(f"JSON Value: {value!r} is not of expected type: {kind.name}")

    try:
        return tf.make_tensor_proto(leaves(values), dtype=kind)
    except (TypeError, ValueError) as error:
        raise invalid(f"Encountered list at unexpected size or level: {error}") from error


def json_value(name: str, array: np.ndarray) -> Any:
    def text(value: Any) -> Any:
        if not isinstance(value, bytes):
            return value
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", "replace")

    def leaves(value: Any) -> Any:
        return [leaves(item) for item in value] if isinstance(value, list) else text(value)

    return leaves(array.tolist())


class ModelServer:
    """The server: gRPC, and REST beside it.

    Args:
        base_path: the folder of the model's numbered versions.
        name: the model's name.
        poll_seconds: how often the folder is looked at.
        receive_bytes: the largest request, gRPC only; TensorFlow Serving's limit is 2 GB.
        port: of gRPC; 0 takes any that is free.
        rest_port: of REST, likewise.
        credentials: gRPC's server credentials; `None` for an open port.
        batching: how requests are joined; `None` for not at all.
        load_threads: as --num_load_threads.
        load_retries: as --max_num_load_retries; TensorFlow Serving's default is 5.
        retry_seconds: as --load_retry_interval_micros; TensorFlow Serving's default is 60 s.
    """

    def __init__(
        self,
        base_path: Path,
        name: str,
        poll_seconds: float = 0.1,
        receive_bytes: int = 4 * 2**20,
        port: int = 0,
        rest_port: int = 0,
        credentials: Any = None,
        batching: Batching | None = None,
        load_threads: int = 2,
        load_retries: int = 0,
        retry_seconds: float = 60.0,
    ) -> None:
        self.model = ServedModel(
            name,
            Path(base_path),
            poll_seconds,
            batching,
            load_threads,
            load_retries,
            retry_seconds,
        )
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(max_workers=64),
            options=[
                ("grpc.max_receive_message_length", receive_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self.model), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self.model), self._grpc
        )
        address = f"127.0.0.1:{port}"
        self.port = (
            self._grpc.add_insecure_port(address)
            if credentials is None
            else self._grpc.add_secure_port(address, credentials)
        )
        self._grpc.start()
        handler = type("Handler", (RestHandler,), {"model": self.model})
        self._rest = RestServer(("127.0.0.1", rest_port), handler)
        self.rest_port = self._rest.server_address[1]
        threading.Thread(target=self._rest.serve_forever, daemon=True).start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def rest_target(self) -> str:
        return f"127.0.0.1:{self.rest_port}"

    def close(self) -> None:
        self._rest.shutdown()
        self._rest.server_close()
        self._grpc.stop(grace=5).wait()
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-base-path", type=Path, required=True)
    parser.add_argument("--model-name", default="default")
    parser.add_argument("--receive-bytes", type=int, default=2**31 - 1)
    options = parser.parse_args()
    with ModelServer(
        options.model_base_path, options.model_name, receive_bytes=options.receive_bytes
    ) as server:
        print(json.dumps({"grpc": server.port, "rest": server.rest_port}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
