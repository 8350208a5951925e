"""Messages of TensorFlow Serving's config files that ``tensorflow-serving-api`` leaves out.

Names, numbers and types are those of ``tensorflow_serving/config/monitoring_config.proto``
and of ``tensorflow_serving/servables/tensorflow/session_bundle_config.proto``, so that a text
proto written with them is one that ``tensorflow_model_server`` reads.
"""

from __future__ import annotations

from typing import Final

from serving.protocol.proto_messages import (
    FIELD,
    INT64_VALUE,
    STRING_VALUE,
    Messages,
    Repeated,
    message_classes,
)

_MESSAGES: Final[Messages] = {
    "PrometheusConfig": (
        ("enable", 1, FIELD.TYPE_BOOL),
        ("path", 2, FIELD.TYPE_STRING),
    ),
    "MonitoringConfig": (("prometheus_config", 1, "PrometheusConfig"),),
    "BatchingParameters": (
        ("max_batch_size", 1, INT64_VALUE),
        ("batch_timeout_micros", 2, INT64_VALUE),
        ("max_enqueued_batches", 3, INT64_VALUE),
        ("num_batch_threads", 4, INT64_VALUE),
        ("thread_pool_name", 5, STRING_VALUE),
        ("allowed_batch_sizes", 6, Repeated(FIELD.TYPE_INT64)),
        ("pad_variable_length_inputs", 7, FIELD.TYPE_BOOL),
    ),
}

_class_of: Final = message_classes(
    "tallygraph/serving_config.proto", "tensorflow.serving", _MESSAGES
)
MonitoringConfig: Final = _class_of("MonitoringConfig")
BatchingParameters: Final = _class_of("BatchingParameters")
