"""TensorFlow Serving's messages and stubs, without TensorFlow itself.

The package `tensorflow-serving-api` imports `tensorflow.core.framework.tensor_pb2` and its like,
which are plain protobuf modules; but Python runs `tensorflow/__init__.py` first, and with it the
whole of TensorFlow: measured, 3.5 s and 740 MB, where the client alone takes 0.5 s and 60 MB.
So a package of that name with nothing in it but its folder stands in while the messages are
imported, and makes room again: `import tensorflow` works afterwards as always, and shares these
very modules. If TensorFlow is imported already, nothing of this happens.

Import this module before other threads import TensorFlow: for that moment they would find the
stand-in.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    spec = importlib.util.find_spec("tensorflow") if "tensorflow" not in sys.modules else None
    if spec is None:
        yield
        return
    package = ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with _without_tensorflow():
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.framework.types_pb2 import DataType
    from tensorflow_serving.apis.get_model_metadata_pb2 import (
        GetModelMetadataRequest,
        GetModelMetadataResponse,
        SignatureDefMap,
    )
    from tensorflow_serving.apis.get_model_status_pb2 import (
        GetModelStatusRequest,
        GetModelStatusResponse,
        ModelVersionStatus,
    )
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

__all__ = [
    "DataType",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "ModelServiceStub",
    "ModelSpec",
    "ModelVersionStatus",
    "PredictRequest",
    "PredictResponse",
    "PredictionServiceStub",
    "SignatureDefMap",
    "TensorProto",
]
