"""Messages of TensorFlow Serving's gRPC API and of its request logs, without TensorFlow.

Names, numbers and types are those of ``tensorflow_serving/apis/*.proto``, of
``tensorflow_serving/core/logging.proto`` with what it imports, and of
``tensorflow/core/framework/tensor*.proto``, as far as this project reads or writes them: what a
message has besides is kept unread, as protobuf does with unknown fields. Enums are ``int32``,
which is the same on the wire.
"""

from __future__ import annotations

from typing import Final

from serving.protocol.exchange import AVAILABLE, END, LOADING
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
DATA_TYPES: Final = (
    *("DT_INVALID", "DT_FLOAT", "DT_DOUBLE", "DT_INT32", "DT_UINT8", "DT_INT16", "DT_INT8"),
    *("DT_STRING", "DT_COMPLEX64", "DT_INT64", "DT_BOOL", "DT_QINT8", "DT_QUINT8"),
    *("DT_QINT32", "DT_BFLOAT16", "DT_QINT16", "DT_QUINT16", "DT_UINT16", "DT_COMPLEX128"),
    *("DT_HALF", "DT_RESOURCE", "DT_VARIANT", "DT_UINT32", "DT_UINT64"),
)
"""Names of ``DataType``, by their numbers."""

STATES: Final = {
    0: "UNKNOWN",
    10: "START",
    20: LOADING,
    30: AVAILABLE,
    40: "UNLOADING",
    50: END,
}
"""Names of ``ModelVersionStatus.State``, by their numbers."""

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
    "StatusProto": (
        ("error_code", 1, FIELD.TYPE_INT32),
        ("error_message", 2, FIELD.TYPE_STRING),
    ),
    "GetModelStatusRequest": (("model_spec", 1, "ModelSpec"),),
    "ModelVersionStatus": (
        ("version", 1, FIELD.TYPE_INT64),
        ("state", 2, FIELD.TYPE_INT32),
        ("status", 3, "StatusProto"),
    ),
    "GetModelStatusResponse": (("model_version_status", 1, Repeated("ModelVersionStatus")),),
    "GetModelMetadataRequest": (
        ("model_spec", 1, "ModelSpec"),
        ("metadata_field", 2, Repeated(FIELD.TYPE_STRING)),
    ),
    "Any": (("type_url", 1, FIELD.TYPE_STRING), ("value", 2, FIELD.TYPE_BYTES)),
    "GetModelMetadataResponse": (
        ("model_spec", 1, "ModelSpec"),
        ("metadata", 2, Map("Any")),
    ),
    "TensorInfo": (("dtype", 2, FIELD.TYPE_INT32),),
    "SignatureDef": (("inputs", 1, Map("TensorInfo")), ("outputs", 2, Map("TensorInfo"))),
    "SignatureDefMap": (("signature_def", 1, Map("SignatureDef")),),
    # Its fields are not read here: what it has is kept, and sent as it is.
    "ModelServerConfig": (),
    "ReloadConfigRequest": (("config", 1, "ModelServerConfig"),),
    "ReloadConfigResponse": (("status", 1, "StatusProto"),),
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
SignatureDefMap: Final = _class_of("SignatureDefMap")
ReloadConfigRequest: Final = _class_of("ReloadConfigRequest")
ReloadConfigResponse: Final = _class_of("ReloadConfigResponse")
PredictionLog: Final = _class_of("PredictionLog")
