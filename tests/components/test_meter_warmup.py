"""Warm-up requests: no more than a server can decode before it opens a version."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import prediction_log_pb2

from components.meter.warmup import ids_decoded, texts_within_budget, write_warmup_requests


def test_the_cost_is_what_the_written_requests_decode(tmp_path: Path) -> None:
    write_warmup_requests(tmp_path, "summarizer", ["a", "b", "c", "d", "e"], 10)
    (file,) = tmp_path.rglob("tf_serving_warmup_requests")
    decoded = 0
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        if request.model_spec.signature_name == "count_tokens":
            continue
        rows = len(tf.make_ndarray(request.inputs["text"]))
        limits = [10] * rows
        if "max_output_tokens" in request.inputs:
            own = tf.make_ndarray(request.inputs["max_output_tokens"]).tolist()
            limits = [limit or 10 for limit in own]
        decoded += sum(limits)
    assert ids_decoded(5, 10) == decoded


def test_a_long_answer_by_four_beams_leaves_room_for_two_texts() -> None:
    found = texts_within_budget(
        ["a", "b", "c", "d"], budget=2_000, max_output_tokens=64, num_beams=4
    )
    assert found == ["a", "b"]


@given(
    count=st.integers(1, 100),
    budget=st.integers(0, 20_000),
    most=st.integers(1, 300),
    num_beams=st.integers(1, 8),
)
def test_as_many_as_the_budget_allows_and_one_in_any_case(
    count: int, budget: int, most: int, num_beams: int
) -> None:
    texts = [str(number) for number in range(count)]
    found = texts_within_budget(
        texts, budget=budget, max_output_tokens=most, num_beams=num_beams
    )
    assert found == texts[: len(found)] != []
    assert len(found) == 1 or ids_decoded(len(found), most) * num_beams <= budget
    if len(found) < count:
        assert ids_decoded(len(found) + 1, most) * num_beams > budget
