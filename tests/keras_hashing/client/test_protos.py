"""The client's messages are those of TensorFlow and TensorFlow Serving on the wire."""

from typing import Any

import pytest
from google.protobuf import json_format
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from keras_hashing.client import serving_pb2 as own

STATUS = get_model_status_pb2.ModelVersionStatus.DESCRIPTOR.fields_by_name["status"].message_type
PAIRS = {
    own.TensorShape: tensor_shape_pb2.TensorShapeProto.DESCRIPTOR,
    own.TensorShape.Dim: tensor_shape_pb2.TensorShapeProto.Dim.DESCRIPTOR,
    own.Tensor: tensor_pb2.TensorProto.DESCRIPTOR,
    own.TensorInfo: meta_graph_pb2.TensorInfo.DESCRIPTOR,
    own.SignatureDef: meta_graph_pb2.SignatureDef.DESCRIPTOR,
    own.ModelSpec: model_pb2.ModelSpec.DESCRIPTOR,
    own.PredictRequest: predict_pb2.PredictRequest.DESCRIPTOR,
    own.PredictResponse: predict_pb2.PredictResponse.DESCRIPTOR,
    own.GetModelStatusRequest: get_model_status_pb2.GetModelStatusRequest.DESCRIPTOR,
    own.GetModelStatusResponse: get_model_status_pb2.GetModelStatusResponse.DESCRIPTOR,
    own.ModelVersionStatus: get_model_status_pb2.ModelVersionStatus.DESCRIPTOR,
    own.ModelVersionStatus.Status: STATUS,
    own.GetModelMetadataRequest: get_model_metadata_pb2.GetModelMetadataRequest.DESCRIPTOR,
    own.GetModelMetadataResponse: get_model_metadata_pb2.GetModelMetadataResponse.DESCRIPTOR,
    own.SignatureDefMap: get_model_metadata_pb2.SignatureDefMap.DESCRIPTOR,
}
WIRE = {5: 14}  # an int32 reads what an enum writes


@pytest.mark.parametrize("message", PAIRS, ids=lambda message: message.DESCRIPTOR.name)
def test_every_field_has_the_number_and_the_type_of_theirs(message: Any) -> None:
    theirs = PAIRS[message].fields_by_name
    assert message.DESCRIPTOR.fields
    for field in message.DESCRIPTOR.fields:
        other = theirs[field.name]
        assert field.number == other.number
        assert other.type in (field.type, WIRE.get(field.type))
        assert field.is_repeated == other.is_repeated
        assert field.is_packed == other.is_packed
        assert (field.containing_oneof is None) == (
            other.containing_oneof is None or other.containing_oneof.name == "encoding"
        )


@pytest.mark.parametrize(
    ("own_enum", "other"),
    [
        (own.DataType, types_pb2.DataType),
        (own.ModelVersionStatus.State, get_model_status_pb2.ModelVersionStatus.State),
    ],
)
def test_every_value_of_an_enum_is_theirs(own_enum: Any, other: Any) -> None:
    assert set(own_enum.items()) <= set(other.items())


def test_a_request_and_an_answer_go_there_and_back() -> None:
    request = own.PredictRequest()
    request.model_spec.name = "shop"
    request.model_spec.version.value = 3
    tensor = request.inputs["code"]
    tensor.dtype = own.DT_UINT8
    tensor.tensor_shape.dim.add(size=2)
    tensor.tensor_content = b"\x01\x02"
    tensor.int_val.extend([1, -2])
    request.inputs["encoded"].string_val.append(b"\xff")
    theirs = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert json_format.MessageToDict(theirs) == json_format.MessageToDict(request)
    again = own.PredictRequest.FromString(theirs.SerializeToString())
    assert again == request
