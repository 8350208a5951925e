"""What a log and the ledger say, compared by Beam: what is found, and what is not."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import prediction_log_pb2

from serving.billing.reconciliation.prediction_log import RecordError, read_record
from serving.billing.reconciliation.reconcile import Reconciled, reconcile
from serving.billing.reconciliation.records import (
    DIFFERENT,
    NOT_ANSWERED,
    NOT_BILLED,
    REPEATED,
    UNREADABLE,
    LogsError,
    Window,
)
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from serving.ledger.work import work_hash
from tests.pipelines.beam_engine import chosen_engine

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


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    engine = open_database(f"sqlite:///{tmp_path}/ledger.sqlite")
    upgrade(engine)
    yield Case(engine, tmp_path)
    engine.dispose()


def test_equal_sides(case: Case) -> None:
    """Texts that come again, several rows, calls that are not billed, and other spellings."""
    case.bill("a b")
    case.bill("a b", after_s=20)
    case.bill("é 😀")
    case.bill("c")
    case.log(
        log_record("a b"),
        log_record("c", signature="serving_default", limit=None),
        log_record("a b", at=AT + 19),
        log_record("d", signature="count_tokens"),
    )
    case.log(log_record("é 😀"), name="other-server")
    result = case.compare()
    assert (result.findings, result.drift) == ([], 0)
    assert result.billed == {"summarizer": 4}
    assert result.counts == {
        ("summarizer", "records"): 4,
        ("summarizer", "records of requests that are not billed"): 1,
    }


def test_what_is_on_one_side_only_is_named(case: Case) -> None:
    case.bill("asked")
    case.log(log_record("past the gateway"))
    answered, billed = case.compare().findings
    assert (answered.kind, billed.kind) == (NOT_BILLED, NOT_ANSWERED)
    work = work_hash(["past the gateway"], [0])[:12]
    assert answered.what == (
        f"2026-11-25 12:00:00 UTC, summarizer version 7, fingerprint {work}, log-1.tfrecord, "
        "record 1: 2 input and 1 output tokens (stop)"
    )
    assert "tenant acme, entry 1, request request-1: 2 input" in billed.what
    assert "past" not in answered.what.replace(work, "")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"input_tokens": 3}, [DIFFERENT]),
        ({"output_tokens": 2}, [DIFFERENT]),
        ({"version": 8}, [NOT_BILLED, NOT_ANSWERED]),
        ({"limit": 3}, [NOT_BILLED, NOT_ANSWERED]),
        ({"at": AT - 61}, [NOT_BILLED, NOT_ANSWERED]),
        ({"at": AT - 59}, []),
    ],
)
def test_one_thing_is_another(case: Case, changes: dict[str, Any], kinds: list[str]) -> None:
    case.bill()
    case.log(log_record(**changes))
    assert case.kinds() == kinds


def test_counts_that_differ_say_both(case: Case) -> None:
    case.bill()
    case.log(log_record(output_tokens=9))
    (finding,) = case.compare().findings
    assert finding.what.endswith(
        "entry 1, request request-1: billed 2 input and 1 output tokens (stop); the server "
        "counted 2 input and 9 output tokens (stop), log-1.tfrecord, record 1"
    )


def test_the_right_one_of_many_is_named(case: Case) -> None:
    """The same text, over and over: only what has no partner is found."""
    for second in range(0, 50, 10):
        case.bill(after_s=second)
    records = [log_record(at=AT + second) for second in range(0, 50, 10)]
    records[2] = log_record(at=AT + 20, output_tokens=3)
    case.log(*records)
    (finding,) = case.compare().findings
    assert finding.kind == DIFFERENT
    assert "record 3" in finding.what


def test_a_retry_is_told_apart(case: Case) -> None:
    """The server computed it twice, within seconds, and it is billed once."""
    case.bill("retried")
    case.bill("later", after_s=0)
    case.log(
        log_record("retried"),
        log_record("retried", at=AT + 5),
        log_record("later"),
        log_record("later", at=AT + 31),
    )
    result = case.compare()
    assert [each.kind for each in result.findings] == [REPEATED, NOT_BILLED]
    assert result.drift == 1


def test_replays_and_what_a_cache_answered_need_no_record(case: Case) -> None:
    case.bill("a b")
    case.bill("cached", cached_tokens=2, work_hash="")
    # Two texts of 2 tokens, one of them cached; the server saw the other.
    both = {"input_tokens": 4, "cached_tokens": 2, "output_tokens": 3}
    case.bill("c d", finish_reasons="length,stop", **both)
    case.log(log_record("a b"), log_record("c d"))
    assert case.kinds() == []
    case.bill("e f", finish_reasons="length", **both)
    case.log(log_record("e f"), name="more")
    assert case.kinds() == [DIFFERENT]


def test_a_charge_without_work_is_found(case: Case) -> None:
    """Nobody can bill for nothing by leaving the hash out."""
    case.bill(work_hash="")
    case.log()
    assert case.kinds() == [NOT_ANSWERED]


def test_the_windows_edges(case: Case) -> None:
    """What is just outside is looked at, and never named."""
    case.bill("at the end", after_s=601)
    case.bill("after it", after_s=602)
    case.bill("long after", after_s=4000)
    case.log(
        log_record("at the end", at=AT + 599),
        log_record("before", at=AT - 601),
        log_record("at the start", at=AT - 600),
    )
    assert case.kinds() == [NOT_BILLED]
    assert case.compare().counts["summarizer", "records outside the window"] == 1


def test_a_sample_does_not_accuse_the_ledger(case: Case) -> None:
    case.bill("a b")
    case.bill("not logged")
    case.log(log_record("a b", rate=0.5), log_record("direct", rate=0.5))
    result = case.compare()
    assert [each.kind for each in result.findings] == [NOT_BILLED]
    assert any("1 charges that are not in it" in note for note in result.notes)


def test_requests_that_were_given_up_are_said(case: Case) -> None:
    case.ledger.reserve(Reservation("left", "acme", 100, "0" * 64))
    case.ledger.release("left")
    case.log()
    assert case.compare().notes == [
        "1 requests of the window are released: a client that got no response is not "
        "charged, although a server may have computed it"
    ]


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
def test_beams_options_are_passed_on(case: Case) -> None:
    """Two worker processes: what travels between them is what one process would see."""
    case.bill("a b")
    case.bill("c")
    case.log(log_record("a b"), log_record("direct"))
    case.log(log_record("c"), name="other-server")
    options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    shared = case.folder / "shared"
    shared.mkdir()
    assert case.kinds(beam_args=options, temporary=str(shared)) == [NOT_BILLED]
    assert list(shared.iterdir()) == []
    with pytest.raises(LogsError, match="NoSuchRunner"):
        case.compare(beam_args=["--runner=NoSuchRunner"])


@pytest.mark.long
def test_an_engine_outside_finds_what_the_default_finds(case: Case) -> None:
    """`make test-engine` runs it on an engine of one's own."""
    for number in range(20):
        case.bill(f"text {number}")
    served = [log_record(f"text {number}") for number in range(1, 20)]
    served[4] = log_record("text 5", output_tokens=9)
    case.log(*served[:10], log_record("direct"))
    case.log(*served[10:], name="other-server")
    shared = case.folder / "shared"
    shared.mkdir()
    with chosen_engine(case.folder) as options:
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


def test_findings_are_lines_of_json(case: Case) -> None:
    case.log(log_record())
    (finding,) = case.compare().findings
    assert json.loads(finding.to_json())["kind"] == NOT_BILLED


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
