"""Calls over gRPC: TensorFlow Serving's PredictionService and ModelService."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import grpc
import grpc.aio

from keras_hashing.client.calls import (
    Call,
    GetStatus,
    Model,
    ModelMetadata,
    Predict,
    Prediction,
    Signature,
    TensorSpec,
    VersionState,
    dtype_name,
)
from keras_hashing.client.errors import ServingError, error_of_status
from keras_hashing.client.serving_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from keras_hashing.client.tensors import array_of_tensor, data_type_name, tensor_of_array
from keras_hashing.client.tls import Tls

ChannelCredentials: TypeAlias = Any  # grpc.ChannelCredentials: grpcio comes without types
Credentials: TypeAlias = Tls | ChannelCredentials | None
Metadata = Sequence[tuple[str, str]]

_SERVICES = ("PredictionService", "ModelService")


class _OverGrpc:
    """Calls over a gRPC channel.

    Args:
        target: "host:port", or any other name that gRPC resolves.
        credentials: how to encrypt; `None` for not at all.
        metadata: pairs that go with each request, such as an authorization.
        max_message_bytes: the bytes of an answer at most.
    """

    _grpc: ClassVar[Any]

    def __init__(
        self, target: str, credentials: Credentials, metadata: Metadata, max_message_bytes: int
    ) -> None:
        options = _channel_options(credentials, max_message_bytes)
        self._channel = (
            self._grpc.insecure_channel(target, options)
            if credentials is None
            else self._grpc.secure_channel(target, _channel_credentials(credentials), options)
        )
        self._stubs = _Stubs(self._channel)
        self._metadata = tuple(metadata)
        self._target = target


class GrpcTransport(_OverGrpc):
    """A channel that waits."""

    _grpc = grpc

    def perform(self, call: Call, timeout: float) -> Any:
        """Returns the answer to `call`; raises a `ServingError`."""
        method = self._stubs.method(call)
        try:
            response = method.send(method.request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _serving_error(error, self._target) from error
        return method.answer(response)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


class AsyncGrpcTransport(_OverGrpc):
    """A channel that is awaited; made where an event loop runs."""

    _grpc = grpc.aio

    async def perform(self, call: Call, timeout: float) -> Any:
        """Returns the answer to `call`; raises a `ServingError`."""
        method = self._stubs.method(call)
        try:
            response = await method.send(method.request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _serving_error(error, self._target) from error
        return method.answer(response)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class _Method(NamedTuple):
    send: Any  # a method of a stub
    request: Any
    answer: Callable[[Any], Any]


class _Stubs:
    """The methods of TensorFlow Serving's two services, by their paths."""

    def __init__(self, channel: Any) -> None:
        prediction, model = (f"/tensorflow.serving.{name}" for name in _SERVICES)
        paths: dict[str, tuple[str, Any, Any]] = {
            "Predict": (prediction, PredictRequest, PredictResponse),
            "GetModelMetadata": (prediction, GetModelMetadataRequest, GetModelMetadataResponse),
            "GetModelStatus": (model, GetModelStatusRequest, GetModelStatusResponse),
        }
        self._methods = {
            name: channel.unary_unary(
                f"{service}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            for name, (service, request, response) in paths.items()
        }

    def method(self, call: Call) -> _Method:
        spec = _model_spec(call.model)
        if isinstance(call, Predict):
            spec.signature_name = call.signature
            request = PredictRequest(model_spec=spec)
            for name, array in call.inputs.items():
                request.inputs[name].CopyFrom(tensor_of_array(array))
            return _Method(self._methods["Predict"], request, _prediction)
        if isinstance(call, GetStatus):
            request = GetModelStatusRequest(model_spec=spec)
            return _Method(self._methods["GetModelStatus"], request, _version_states)
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        return _Method(self._methods["GetModelMetadata"], request, _model_metadata)


def _model_spec(model: Model) -> Any:
    spec = ModelSpec(name=model.name)
    if model.version is not None:
        spec.version.value = model.version
    elif model.label is not None:
        spec.version_label = model.label
    return spec


def _prediction(response: PredictResponse) -> Prediction:
    try:
        outputs = {name: array_of_tensor(tensor) for name, tensor in response.outputs.items()}
    except (TypeError, ValueError) as error:
        raise ServingError(f"The server's answer is damaged: {error}", "INTERNAL") from error
    spec = response.model_spec
    return Prediction(outputs, spec.version.value if spec.HasField("version") else None)


def _version_states(response: GetModelStatusResponse) -> list[VersionState]:
    return [
        VersionState(
            status.version,
            ModelVersionStatus.State.Name(status.state),
            status.status.error_message,
        )
        for status in response.model_version_status
    ]


def _model_metadata(response: GetModelMetadataResponse) -> ModelMetadata:
    # What `Any` names is TensorFlow Serving's own type of this message.
    signatures = SignatureDefMap.FromString(response.metadata["signature_def"].value)
    spec = response.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return ModelMetadata(version, signatures_of(signatures))


def signatures_of(signatures: SignatureDefMap) -> dict[str, Signature]:
    """The signatures of a model by name, but for TensorFlow's own."""
    return {
        name: Signature(_tensor_specs(signature.inputs), _tensor_specs(signature.outputs))
        for name, signature in signatures.signature_def.items()
        if not name.startswith("__")
    }


def _tensor_specs(infos: Any) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(
            dtype_name(data_type_name(info.dtype)),
            tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


def _channel_options(
    credentials: Credentials, max_message_bytes: int
) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.enable_retries", 0),  # the client's own, within its deadline
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if isinstance(credentials, Tls) and credentials.server_name is not None:
        options.append(("grpc.ssl_target_name_override", credentials.server_name))
    return options


def _channel_credentials(credentials: Tls | ChannelCredentials) -> ChannelCredentials:
    return credentials.channel_credentials() if isinstance(credentials, Tls) else credentials


def _serving_error(error: Any, target: str) -> ServingError:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        details = f"The server at {target} cannot be reached: {details}"
    return error_of_status(code.name, details)
