"""A model server's log, as it is read: damaged, missing, and however TensorFlow writes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import prediction_log_pb2

from serving.billing.reconciliation.prediction_log import RecordError, read_record
from serving.billing.reconciliation.records import NOT_ANSWERED, UNREADABLE, LogsError
from serving.ledger.work import work_hash
from tests.serving.billing.logged_case import Case, log_record


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "what"),
    [(cut, "ends within a record"), (flipped, "has a wrong checksum for a record")],
)
def test_a_damaged_file_is_read_as_far_as_it_goes(
    case: Case, damage: Callable[[Path], None], what: str
) -> None:
    case.bill("a b")
    case.bill("c")
    damage(case.log(log_record("a b"), log_record("c")))
    result = case.compare()
    assert [each.kind for each in result.findings] == [UNREADABLE, NOT_ANSWERED]
    assert result.findings[0].what == f"log-1.tfrecord, after record 1: {what}"
    assert "entry 2" in result.findings[1].what


def test_records_that_are_none_are_named(case: Case) -> None:
    partly = log_record()
    del partly.predict_log.response.outputs["output_tokens"]
    case.log(partly, prediction_log_pb2.PredictionLog())
    with tf.io.TFRecordWriter(f"{case.folder}/z.tfrecord") as writer:
        writer.write(b"\xff\xff")
    found = case.compare().findings
    assert {each.kind for each in found} == {UNREADABLE}
    first, second, third = sorted(each.what for each in found)
    assert first.startswith("log-1.tfrecord, record 1: lacks output_tokens")
    assert second.startswith("log-1.tfrecord, record 2: is not a PredictionLog")
    assert third.startswith("z.tfrecord, record 1: is not a PredictionLog")


def test_no_log_where_one_was_named(case: Case) -> None:
    with pytest.raises(LogsError, match="matches no file"):
        case.compare()


@pytest.mark.long
def test_without_beam_it_says_what_to_install(case: Case) -> None:
    """As with the gateway's extra only: counters are compared. No TensorFlow either way."""
    script = f"""
import sys
missing = sys.argv[1:]
sys.modules.update(dict.fromkeys(missing))
from serving.billing.reconciliation.reconcile import reconcile
from serving.billing.reconciliation.records import LogsError, Window
from serving.ledger.database import open_database
engine, window = open_database({case.engine.url.render_as_string()!r}), Window(0, 1)
reconcile(engine, window)
try:
    reconcile(engine, window, ["{case.folder}/nothing-*"])
except LogsError as error:
    print(error)
assert not [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]
"""
    for missing, message in (
        (["apache_beam"], "apache_beam is missing. Install tallygraph[pipeline]"),
        ([], "matches no file"),
    ):
        command = [sys.executable, "-c", script, *missing]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert message in ran.stdout


def int_values(*values: int) -> TensorProto:
    shape = tf.TensorShape([2]).as_proto()
    return TensorProto(dtype=tf.int32.as_datatype_enum, tensor_shape=shape, int_val=values)


@pytest.mark.parametrize(
    ("tensor", "total"),
    [
        (tf.make_tensor_proto([3, 4], tf.int32), 7),  # as bytes
        (tf.make_tensor_proto([3, 4], tf.int64), 7),
        (int_values(3, 4), 7),
        (int_values(3), 6),  # one value for all
    ],
)
def test_counts_are_read_however_tensorflow_writes_them(
    tensor: TensorProto, total: int
) -> None:
    log = log_record()
    log.predict_log.request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a b c", "d e f g"]))
    log.predict_log.request.inputs["max_output_tokens"].CopyFrom(
        tf.make_tensor_proto([0, 0], tf.int32)
    )
    outputs = log.predict_log.response.outputs
    outputs["input_tokens"].CopyFrom(tensor)
    outputs["output_tokens"].CopyFrom(tf.make_tensor_proto([1, 1], tf.int32))
    outputs["finish_reason"].CopyFrom(tf.make_tensor_proto(["stop", "length"]))
    work = read_record(log.SerializeToString(), "here").work
    assert work is not None
    assert (work.input_tokens, work.output_tokens) == (total, 2)
    assert work.finish_reasons == "length,stop"
    assert work.work_hash == work_hash(["a b c", "d e f g"], [0, 0])
    outputs["output_tokens"].CopyFrom(tf.make_tensor_proto([1], tf.int32))
    with pytest.raises(RecordError, match="output_tokens has shape \\[1\\]"):
        read_record(log.SerializeToString(), "here")
