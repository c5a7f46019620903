"""Calls over TensorFlow Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest.

Columnar requests; images files go as `{"b64": …}`, which the server decodes itself. An output whose
name ends in `_bytes` comes back in the same form. A signature with one output answers with its bare
value, one with several with an object. The server wants every input of a signature here, with a
default or not; the client sends them all.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from http.client import BadStatusLine, RemoteDisconnected
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import grpc
import numpy as np
import urllib3
from google.protobuf import json_format
from numpy.typing import NDArray

from keras_hashing.client.calls import (
    Call,
    GetStatus,
    Model,
    ModelMetadata,
    Predict,
    Prediction,
    VersionState,
)
from keras_hashing.client.errors import (
    DeadlineExceededError,
    ServerUnreachableError,
    ServingError,
    error_of_status,
)
from keras_hashing.client.grpc_transport import Credentials, Metadata, signatures_of
from keras_hashing.client.serving_pb2 import SignatureDefMap
from keras_hashing.client.tls import Tls

# TensorFlow Serving's own mapping, backwards; 400 stands for two codes of one meaning.
_CODE_OF_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# The one output of each signature, which the answer does not name.
_ONLY_OUTPUT = {
    "encode": "code",
    "encode_bytes": "code",
    "encode_vectors": "code",
    "serving_default": "code",
    "continuous": "continuous",
    "card": "card",
}
_DTYPE_OF_OUTPUT = {"code": np.uint8, "continuous": np.float32, "distances": np.int32}


class RestTransport:
    """Calls over HTTP with connections that are kept.

    Args:
        target: "host:port", or a URL "http://…" or "https://…", whose path goes before `/v1`.
        credentials: how to encrypt; `None` to go by the URL. No gRPC credentials.
        metadata: headers that go with each request, such as an authorization.
        connections: how many are kept.

    Raises:
        ValueError: if `target` is no such address.
        TypeError: if `credentials` are gRPC's.
    """

    def __init__(
        self, target: str, credentials: Credentials, metadata: Metadata, connections: int = 8
    ) -> None:
        if isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError("`credentials` must be `Tls` for REST. Received: gRPC's own")
        self._base = _base_url(target, encrypted=credentials is not None)
        self._headers = {**dict(metadata), "content-type": "application/json"}
        options: dict[str, Any] = {}
        if self._base.startswith("https:"):
            tls = credentials or Tls()
            options["ssl_context"] = tls.ssl_context()
            options["ssl_minimum_version"] = ssl.TLSVersion.TLSv1_2
            if tls.server_name is not None:
                options["server_hostname"] = options["assert_hostname"] = tls.server_name
        self._pool = urllib3.PoolManager(retries=False, maxsize=connections, **options)

    def perform(self, call: Call, timeout: float) -> Any:
        """Returns the answer to `call`; raises a `ServingError`."""
        path = _path(call.model)
        if isinstance(call, Predict):
            body = {
                "signature_name": call.signature,
                "inputs": {name: _json_value(array) for name, array in call.inputs.items()},
            }
            answer = self._send("POST", f"{path}:predict", timeout, json.dumps(body).encode())
            return _readable(lambda: Prediction(_outputs(call.signature, answer["outputs"]), None))
        if isinstance(call, GetStatus):
            answer = self._send("GET", path, timeout)
            return _readable(lambda: _version_states(answer))
        answer = self._send("GET", f"{path}/metadata", timeout)
        return _readable(lambda: _model_metadata(answer))

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _send(self, method: str, path: str, timeout: float, body: bytes | None = None) -> Any:
        url = self._base + path
        try:
            response = self._pool.request(
                method, url, body=body, headers=self._headers, timeout=urllib3.Timeout(timeout)
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as e:
            raise ServerUnreachableError(
                f"The server at {self._base} cannot be reached: {e}"
            ) from e
        except urllib3.exceptions.TimeoutError as error:
            raise DeadlineExceededError(
                f"The server at {self._base} has not answered within {timeout:.3g} s"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            problem = f"The connection to the server at {self._base} has failed: {error}"
            if _is_no_http(error):
                problem = (
                    f"The server at {self._base} does not speak HTTP: is this the gRPC port? REST "
                    "is 8501 by custom"
                )
            raise ServerUnreachableError(problem) from error
        if response.status != 200:
            _raise_error(response.status, response.data)
        return _readable(lambda: json.loads(response.data))


class AsyncRestTransport:
    """The same, each call in a thread.

    Args: as for `RestTransport`.
    """

    def __init__(self, target: str, credentials: Credentials, metadata: Metadata) -> None:
        self._transport = RestTransport(target, credentials, metadata, connections=32)

    async def perform(self, call: Call, timeout: float) -> Any:
        """Returns the answer to `call`; raises a `ServingError`."""
        return await asyncio.to_thread(self._transport.perform, call, timeout)

    async def close(self) -> None:
        """Closes the connections."""
        self._transport.close()


def _base_url(target: str, encrypted: bool) -> str:
    url = target if "://" in target else f"{'https' if encrypted else 'http'}://{target}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"`target` must be host:port, or an http or https URL. Received: {target!r}"
        )
    if encrypted and parts.scheme == "http":
        raise ValueError(f"`credentials` encrypt, `target` does not. Received: {target!r}")
    return url.rstrip("/")


def _path(model: Model) -> str:
    path = f"/v1/models/{quote(model.name, safe='')}"
    if model.version is not None:
        return f"{path}/versions/{model.version}"
    return path if model.label is None else f"{path}/labels/{quote(model.label, safe='')}"


def _json_value(array: NDArray[Any]) -> Any:
    if array.dtype == object:
        return [{"b64": base64.b64encode(value).decode()} for value in array.tolist()]
    return array.tolist()


def _outputs(signature: str, outputs: Any) -> Mapping[str, NDArray[Any]]:
    if not isinstance(outputs, dict):
        outputs = {_ONLY_OUTPUT.get(signature, "output"): outputs}
    return {name: _array(name, values) for name, values in outputs.items()}


def _array(name: str, values: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.array(values)
    if array.dtype.kind == "U":
        encoded: NDArray[Any] = np.empty(array.size, dtype=object)
        encoded[:] = [str(text).encode() for text in array.ravel()]
        return encoded.reshape(array.shape)
    if name.endswith("_bytes"):  # objects {"b64": …}
        decoded: NDArray[Any] = np.empty(array.size, dtype=object)
        decoded[:] = [base64.b64decode(value["b64"]) for value in array.ravel()]
        return decoded.reshape(array.shape)
    return array.astype(_DTYPE_OF_OUTPUT.get(name, array.dtype))


def _version_states(answer: Any) -> list[VersionState]:
    return [
        VersionState(
            int(status["version"]),
            str(status["state"]),
            str(status.get("status", {}).get("error_message", "")),
        )
        for status in answer.get("model_version_status", [])
    ]


def _model_metadata(answer: Any) -> ModelMetadata:
    version = answer.get("model_spec", {}).get("version")
    signatures = json_format.ParseDict(
        answer["metadata"]["signature_def"], SignatureDefMap(), ignore_unknown_fields=True
    )
    return ModelMetadata(int(version) if version else None, signatures_of(signatures))


def _is_no_http(error: urllib3.exceptions.HTTPError) -> bool:
    """Whether something was received that does not begin as an HTTP answer does."""
    return any(
        isinstance(part, BadStatusLine) and not isinstance(part, RemoteDisconnected)
        for part in error.args
    )


def _readable(read: Any) -> Any:
    try:
        return read()
    except (json_format.ParseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServingError(
            f"The server's answer is not TensorFlow Serving's: {type(error).__name__}: {error}",
            "INTERNAL",
        ) from error


def _raise_error(status: int, body: bytes) -> NoReturn:
    try:
        message = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {status}: {body[:200].decode(errors='replace')}"
    raise error_of_status(_CODE_OF_STATUS.get(status, "UNKNOWN"), message)
