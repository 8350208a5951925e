"""A ledger, the log of a model server, and their comparison."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.billing.reconciliation.reconcile import Reconciled, reconcile
from serving.billing.reconciliation.records import (
    DIFFERENT,
    NOT_ANSWERED,
    NOT_BILLED,
    Window,
)
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.database import open_database
from serving.ledger.work import work_hash
from tests.support.fresh_ledger import sqlite_ledger

NOON = datetime.datetime(2026, 11, 25, 12)
AT = NOON.replace(tzinfo=datetime.UTC).timestamp()
WINDOW = Window(AT - 600, AT + 600, slack_s=60, retry_s=30)


def log_record(
    text: str = "a b",
    at: float = AT,
    input_tokens: int = 2,
    output_tokens: int = 1,
    version: int = 7,
    signature: str = "summarize",
    limit: int | None = 0,
    rate: float = 1.0,
) -> prediction_log_pb2.PredictionLog:
    """A record as TensorFlow Serving's own messages make it."""
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.timestamp_secs = int(at)
    log.log_metadata.sampling_config.sampling_rate = rate
    predict = log.predict_log
    predict.request.model_spec.name = "summarizer"
    predict.request.model_spec.signature_name = signature
    predict.request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
    if limit is not None:
        limits = tf.make_tensor_proto([limit], tf.int32)
        predict.request.inputs["max_output_tokens"].CopyFrom(limits)
    predict.response.model_spec.name = "summarizer"
    predict.response.model_spec.version.value = version
    for name, value in (
        ("input_tokens", input_tokens),
        ("output_tokens", output_tokens),
        ("total_tokens", input_tokens + output_tokens),
        ("truncated_tokens", 0),
    ):
        predict.response.outputs[name].CopyFrom(tf.make_tensor_proto([value], tf.int32))
    predict.response.outputs["finish_reason"].CopyFrom(tf.make_tensor_proto(["stop"]))
    predict.response.outputs["summary"].CopyFrom(tf.make_tensor_proto(["A"]))
    return log


class Case:
    """A ledger, a log, and their comparison."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.now = NOON
        self.ledger = Ledger(engine, "gateway-0", lambda: self.now)
        self.number = 0

    def bill(self, text: str = "a b", after_s: float = 0.3, **changes: object) -> None:
        self.number += 1
        self.now = NOON + datetime.timedelta(seconds=after_s)
        request = f"request-{self.number}"
        self.ledger.reserve(Reservation(request, "acme", 100, "0" * 64))
        usage = Usage(
            "summarizer", "7", "f", 1, 2, 0, 1, "stop", 5, work_hash=work_hash([text], [0])
        )
        usage = replace(usage, **changes)  # type: ignore[arg-type]
        self.ledger.settle(request, usage, Charge(1, "EUR", "p"), b"answer")

    def log(self, *records: prediction_log_pb2.PredictionLog, name: str = "log") -> Path:
        path = self.folder / f"{name}-1.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record.SerializeToString())
        return path

    def compare(self, **changes: Any) -> Reconciled:
        return reconcile(self.engine, WINDOW, [f"{self.folder}/*.tfrecord"], **changes)

    def kinds(self, **changes: object) -> list[str]:
        return [each.kind for each in self.compare(**changes).findings]


@contextmanager
def logged_case(folder: Path) -> Iterator[Case]:
    """One with an empty ledger, in a folder."""
    engine = open_database(sqlite_ledger(folder))
    yield Case(engine, folder)
    engine.dispose()


def assert_engine_finds_what_the_default_finds(case: Case, options: Sequence[str]) -> None:
    """Compare two logs and a ledger, which differ in three ways, on an engine of Beam's.

    Args:
      case: an empty one.
      options: Beam's, which name the engine.
    """
    for number in range(20):
        case.bill(f"text {number}")
    served = [log_record(f"text {number}") for number in range(1, 20)]
    served[4] = log_record("text 5", output_tokens=9)
    case.log(*served[:10], log_record("direct"))
    case.log(*served[10:], name="other-server")
    shared = case.folder / "shared"
    shared.mkdir()
    outside = case.compare(beam_args=options, temporary=str(shared))
    assert list(shared.iterdir()) == []
    kinds = sorted(each.kind for each in outside.findings)
    assert kinds == sorted([DIFFERENT, NOT_ANSWERED, NOT_BILLED])
    assert outside.counts == {("summarizer", "records"): 20}
    default = case.compare()
    assert (outside.counts, outside.billed) == (default.counts, default.billed)
    assert sorted(each.to_json() for each in outside.findings) == sorted(
        each.to_json() for each in default.findings
    )
