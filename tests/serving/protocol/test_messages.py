"""The project's own messages against TensorFlow Serving's, and their columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_log_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from serving.protocol import grpc_api, messages
from serving.protocol.columns import read_column, write_column
from serving.protocol.errors import BadAnswerError

RECORDED = json.loads(
    (Path(__file__).parents[1] / "reference" / "grpc.json").read_text(encoding="utf-8")
)
PREDICTED = [
    case for case in RECORDED if case["rpc"] == "Predict" and case["response"]["code"] == "OK"
]
# Every field that the project has, with the class of TensorFlow Serving's that has it too.
TWINS = [
    (messages.PredictRequest, predict_pb2.PredictRequest),
    (messages.PredictResponse, predict_pb2.PredictResponse),
    (messages.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
    (messages.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
    (messages.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
    (messages.GetModelMetadataResponse, get_model_metadata_pb2.GetModelMetadataResponse),
    (messages.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
    (messages.ReloadConfigRequest, model_management_pb2.ReloadConfigRequest),
    (messages.ReloadConfigResponse, model_management_pb2.ReloadConfigResponse),
    (messages.PredictionLog, prediction_log_pb2.PredictionLog),
]


def assert_twins(ours: Any, theirs: Any) -> None:
    """Name, number, type and repetition of every field of ours, down to the last message."""
    for field in ours.fields:
        twin = theirs.fields_by_number[field.number]
        assert (twin.name, twin.is_repeated) == (field.name, field.is_repeated)
        assert field.type == (twin.TYPE_INT32 if twin.enum_type else twin.type), field.full_name
        if field.message_type is not None:
            nested = field.message_type.GetOptions().map_entry
            assert nested == twin.message_type.GetOptions().map_entry
            assert_twins(field.message_type, twin.message_type)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(a.DESCRIPTOR, b.DESCRIPTOR) for a, b in TWINS], ids=lambda d: d.name
)
def test_every_field_is_theirs(ours: Any, theirs: Any) -> None:
    assert ours.full_name == theirs.full_name
    assert_twins(ours, theirs)


def test_names_of_numbers_are_theirs() -> None:
    data_types = {name: number for number, name in enumerate(messages.DATA_TYPES)}
    assert data_types.items() <= dict(types_pb2.DataType.items()).items()
    states = {name: number for number, name in messages.STATES.items()}
    assert states == dict(get_model_status_pb2.ModelVersionStatus.State.items())


def test_a_config_is_sent_as_it_is() -> None:
    """Every field of a config arrives, though none is known here."""
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(name="m", base_path="/models/m")
    model.model_version_policy.specific.versions.extend([3, 7])
    model.version_labels["stable"] = 7
    call = grpc_api.reload_config(config.SerializeToString()).request
    sent = model_management_pb2.ReloadConfigRequest.FromString(call.message.SerializeToString())
    assert sent.config == config


@pytest.mark.parametrize("case", PREDICTED, ids=[case["name"] for case in PREDICTED])
@pytest.mark.parametrize("as_content", [False, True])
def test_recorded_answers_are_read(case: dict[str, Any], as_content: bool) -> None:
    """Every column of texts or integers that TensorFlow Serving was recorded to answer with."""
    response = predict_pb2.PredictResponse()
    expected = {}
    for name, tensor in case["response"]["outputs"].items():
        values, dtype = tensor["values"], tensor["dtype"]
        if any(isinstance(value, dict) for value in values):
            continue  # bytes that are no text
        proto = tf.make_tensor_proto(values, dtype=dtype, shape=tensor["shape"])
        if as_content and dtype.startswith("int"):
            array = np.asarray(values, dtype).reshape(tensor["shape"])
            proto = predict_pb2.PredictResponse().outputs[name]
            proto.dtype = tf.dtypes.as_dtype(dtype).as_datatype_enum
            proto.tensor_shape.CopyFrom(tf.TensorShape(tensor["shape"]).as_proto())
            proto.tensor_content = array.tobytes()
        response.outputs[name].CopyFrom(proto)
        if len(tensor["shape"]) == 1 and dtype in ("string", "int32", "int64"):
            expected[name] = values
    read = messages.PredictResponse.FromString(response.SerializeToString())
    for name, values in expected.items():
        assert read_column(name, read.outputs[name], len(values)) == values
    for name in set(read.outputs) - set(expected):
        with pytest.raises(BadAnswerError, match=f"{name} has (shape|dtype)"):
            read_column(name, read.outputs[name], case["response"]["outputs"][name]["shape"][0])


COLUMNS = st.one_of(
    st.lists(st.text(), min_size=1, max_size=8),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8),
)


@given(COLUMNS)
def test_a_column_is_what_tensorflow_reads_and_writes(values: list[Any]) -> None:
    ours = messages.TensorProto()
    write_column(ours, values)
    theirs = tf.make_tensor_proto(0)
    theirs.ParseFromString(ours.SerializeToString())
    array = tf.make_ndarray(theirs)
    assert array.shape == (len(values),)
    assert [v.decode() if isinstance(v, bytes) else v for v in array.tolist()] == values
    dtype = tf.string if isinstance(values[0], str) else tf.int32
    written = tf.make_tensor_proto(values, dtype=dtype).SerializeToString()
    assert read_column("a", messages.TensorProto.FromString(written), len(values)) == values


def test_repeated_values_may_be_left_out() -> None:
    """TensorFlow writes a constant column, or the end of one, as one value."""
    for values, dtype in (([3, 7, 7, 7], tf.int32), (["a", "b", "b"], tf.string)):
        whole = tf.make_tensor_proto(values, dtype=dtype)
        short = whole.int_val if dtype == tf.int32 else whole.string_val
        if whole.tensor_content:
            whole.tensor_content = b""
            short.extend(values)
        del short[2:]
        read = messages.TensorProto.FromString(whole.SerializeToString())
        assert read_column("a", read, len(values)) == values
    empty = messages.TensorProto(dtype=messages.DT_INT32)
    empty.tensor_shape.dim.add(size=2)
    assert read_column("a", empty, 2) == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": messages.DT_INT32, "int_val": [1, 2, 3]}, "has 3 values. Expected: 2"),
        ({"dtype": messages.DT_INT32, "tensor_content": b"123"}, "has 3 bytes. Expected: 8"),
        ({"dtype": messages.DT_STRING, "string_val": [b"\xff", b""]}, "is not text"),
        ({"dtype": 1}, "has dtype 1"),
    ],
)
def test_columns_that_are_none(change: dict[str, Any], message: str) -> None:
    tensor = messages.TensorProto(**change)
    tensor.tensor_shape.dim.add(size=2)
    with pytest.raises(BadAnswerError, match=message):
        read_column("a", tensor, 2)
    with pytest.raises(BadAnswerError, match=r"has shape \[2\]. Expected: \[1000000000\]"):
        read_column("a", tensor, 10**9)
