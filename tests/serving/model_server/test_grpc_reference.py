"""Every gRPC answer that was recorded from TensorFlow Serving, asked of our server."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

RECORDED = json.loads(
    (Path(__file__).parents[1] / "reference" / "grpc.json").read_text(encoding="utf-8")
)
CASES = pytest.mark.parametrize("case", RECORDED, ids=[case["name"] for case in RECORDED])
TIMEOUT_S = 30


def test_all_recordings_are_here() -> None:
    assert len(RECORDED) == 21


def call(case: dict[str, Any], channel: grpc.Channel) -> Any:
    asked = case["request"]
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    if case["rpc"] == "Predict":
        request = predict_pb2.PredictRequest()
        for alias, tensor in asked["inputs"].items():
            request.inputs[alias].CopyFrom(
                tf.make_tensor_proto(
                    tensor["values"], dtype=tensor["dtype"], shape=tensor["shape"]
                )
            )
        request.output_filter.extend(asked["output_filter"])
        request.model_spec.signature_name = asked["signature_name"]
        if asked["label"] is not None:
            request.model_spec.version_label = asked["label"]
        send = prediction.Predict
    elif case["rpc"] == "GetModelStatus":
        request = get_model_status_pb2.GetModelStatusRequest()
        send = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
    else:
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        if asked["field"] is not None:
            request.metadata_field.append(asked["field"])
        send = prediction.GetModelMetadata
    request.model_spec.name = asked["model"]
    if asked.get("version") is not None:
        request.model_spec.version.value = asked["version"]
    return send(request, timeout=TIMEOUT_S)


def as_recorded(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


def predict_outputs(response: predict_pb2.PredictResponse) -> dict[str, Any]:
    outputs = {}
    for alias, proto in response.outputs.items():
        array = tf.make_ndarray(proto)
        values = np.vectorize(as_recorded, otypes=[object])(array) if array.size else array
        outputs[alias] = {
            "dtype": tf.dtypes.as_dtype(proto.dtype).name,
            "shape": list(array.shape),
            "values": [] if not array.size else values.tolist(),
        }
    return outputs


def signatures(response: get_model_metadata_pb2.GetModelMetadataResponse) -> dict[str, Any]:
    packed = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(packed)
    return {
        name: {
            "inputs": dtypes(signature.inputs),
            "outputs": dtypes(signature.outputs),
            "method": signature.method_name,
        }
        for name, signature in packed.signature_def.items()
        # It was left out of the recordings: its one output has no dtype.
        if name != "__saved_model_init_op"
    }


def dtypes(infos: Any) -> dict[str, str]:
    return {alias: tf.dtypes.as_dtype(info.dtype).name for alias, info in infos.items()}


@CASES
def test_recorded_answer(case: dict[str, Any], channel: grpc.Channel) -> None:
    expected = case["response"]
    try:
        response = call(case, channel)
    except grpc.RpcError as error:
        received = {"code": error.code().name, "message": error.details()}
        assert received == {key: expected.get(key) for key in received}
        return
    assert expected["code"] == "OK"
    if case["rpc"] == "Predict":
        assert predict_outputs(response) == expected["outputs"]
        spec = response.model_spec
        assert {
            "name": spec.name,
            "version": spec.version.value,
            "signature_name": spec.signature_name,
        } == expected["model_spec"]
    elif case["rpc"] == "GetModelStatus":
        states = get_model_status_pb2.ModelVersionStatus.State
        versions = [
            {"version": entry.version, "state": states.Name(entry.state)}
            for entry in response.model_version_status
        ]
        assert sorted(versions, key=lambda entry: entry["version"]) == sorted(
            expected["versions"], key=lambda entry: entry["version"]
        )
    else:
        assert signatures(response) == expected["signatures"]
