"""Messages of TensorFlow Serving's gRPC API and of its request logs, without TensorFlow.

Names, numbers and types are those of ``tensorflow_serving/apis/*.proto``, of
``tensorflow_serving/core/logging.proto`` with what it imports, and of
``tensorflow/core/framework/tensor*.proto``, as far as this project reads or writes them: what a
message has besides is kept unread, as protobuf does with unknown fields. Enums are ``int32``,
which is the same on the wire.
"""

from __future__ import annotations

from typing import Final

from serving.protocol.proto_messages import (
    FIELD,
    INT64_VALUE,
    Map,
    Messages,
    Repeated,
    message_classes,
)

DT_INT32: Final = 3
DT_STRING: Final = 7
DT_INT64: Final = 9
AVAILABLE: Final = 30
"""``ModelVersionStatus.State``'s number for an available version."""

_MESSAGES: Final[Messages] = {
    "Dim": (("size", 1, FIELD.TYPE_INT64),),
    "TensorShapeProto": (
        ("dim", 2, Repeated("Dim")),
        ("unknown_rank", 3, FIELD.TYPE_BOOL),
    ),
    "TensorProto": (
        ("dtype", 1, FIELD.TYPE_INT32),
        ("tensor_shape", 2, "TensorShapeProto"),
        ("tensor_content", 4, FIELD.TYPE_BYTES),
        ("int_val", 7, Repeated(FIELD.TYPE_INT32)),
        ("string_val", 8, Repeated(FIELD.TYPE_BYTES)),
        ("int64_val", 10, Repeated(FIELD.TYPE_INT64)),
    ),
    "ModelSpec": (
        ("name", 1, FIELD.TYPE_STRING),
        ("version", 2, INT64_VALUE),
        ("signature_name", 3, FIELD.TYPE_STRING),
        ("version_label", 4, FIELD.TYPE_STRING),
    ),
    "PredictRequest": (
        ("model_spec", 1, "ModelSpec"),
        ("inputs", 2, Map("TensorProto")),
    ),
    "PredictResponse": (
        ("outputs", 1, Map("TensorProto")),
        ("model_spec", 2, "ModelSpec"),
    ),
    "GetModelStatusRequest": (("model_spec", 1, "ModelSpec"),),
    "ModelVersionStatus": (
        ("version", 1, FIELD.TYPE_INT64),
        ("state", 2, FIELD.TYPE_INT32),
    ),
    "GetModelStatusResponse": (("model_version_status", 1, Repeated("ModelVersionStatus")),),
    "GetModelMetadataRequest": (
        ("model_spec", 1, "ModelSpec"),
        ("metadata_field", 2, Repeated(FIELD.TYPE_STRING)),
    ),
    "GetModelMetadataResponse": (("model_spec", 1, "ModelSpec"),),
    "SamplingConfig": (("sampling_rate", 1, FIELD.TYPE_DOUBLE),),
    "LogMetadata": (
        ("model_spec", 1, "ModelSpec"),
        ("sampling_config", 2, "SamplingConfig"),
        ("timestamp_secs", 4, FIELD.TYPE_INT64),
    ),
    "PredictLog": (("request", 1, "PredictRequest"), ("response", 2, "PredictResponse")),
    "PredictionLog": (("log_metadata", 1, "LogMetadata"), ("predict_log", 6, "PredictLog")),
}

_class_of: Final = message_classes(
    "tallygraph/serving_api.proto", "tensorflow.serving", _MESSAGES
)
TensorProto: Final = _class_of("TensorProto")
PredictRequest: Final = _class_of("PredictRequest")
PredictResponse: Final = _class_of("PredictResponse")
GetModelStatusRequest: Final = _class_of("GetModelStatusRequest")
GetModelStatusResponse: Final = _class_of("GetModelStatusResponse")
GetModelMetadataRequest: Final = _class_of("GetModelMetadataRequest")
GetModelMetadataResponse: Final = _class_of("GetModelMetadataResponse")
PredictionLog: Final = _class_of("PredictionLog")
