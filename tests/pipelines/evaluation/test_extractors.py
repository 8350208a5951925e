from typing import Any

import pyarrow as pa
import pytest
from tensorflow_model_analysis.proto import config_pb2

from pipelines.evaluation.config import EvaluationConfig
from pipelines.evaluation.eval_config import eval_config
from pipelines.evaluation.extractors import (
    Row,
    make_batches,
    read_rows,
    settings_in,
)
from pipelines.evaluation.slices import length_order, length_slice


def rows_of(*sources: str) -> list[Row]:
    return [
        Row(b"word " * (len(sources) - index), b"summary", str(index).encode(), source.encode())
        for index, source in enumerate(sources)
    ]


def test_batches_are_bounded_and_short_documents_come_first() -> None:
    batches = list(make_batches(rows_of(*"abcde"), EvaluationConfig(batch_size=2)))

    assert [len(batch["features"]["document"]) for batch in batches] == [2, 2, 1]
    ids = [key.decode() for batch in batches for key in batch["features"]["id"]]
    assert ids == ["4", "3", "2", "1", "0"]


def test_the_models_input_is_the_document() -> None:
    (batch,) = make_batches(rows_of("a", "b"), EvaluationConfig())
    assert batch["features"]["text"].tolist() == batch["features"]["document"].tolist()


def test_small_and_surplus_sources_share_a_slice() -> None:
    rows = rows_of("a", "a", "a", "b", "b", "c", "d", "d")
    config = EvaluationConfig(max_sources=2, min_examples_per_slice=2)
    (batch,) = make_batches(rows, config)

    slices = dict(zip(batch["features"]["id"], batch["features"]["source_slice"], strict=True))
    assert [slices[str(i).encode()].decode() for i in range(8)] == (
        ["a"] * 3 + ["b"] * 2 + ["other sources"] * 3
    )


def test_no_examples_make_no_batch() -> None:
    assert list(make_batches([], EvaluationConfig())) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [(0, "0–3 words"), (3, "0–3 words"), (4, "4–6 words"), (7, "7 or more words")],
)
def test_length_slices(words: int, expected: str) -> None:
    assert length_slice(b"w " * words, (3, 6)) == expected


def test_length_slices_sort_by_length() -> None:
    names = [length_slice(b"w " * words, (9, 64)) for words in (100, 5, 20)]
    assert sorted(names, key=length_order) == ["0–9 words", "10–64 words", "65 or more words"]


def batch_of(**columns: list[Any]) -> dict[str, Any]:
    return {"arrow_record_batch": pa.RecordBatch.from_pydict(columns)}


def test_reads_rows_of_a_record_batch() -> None:
    extracts = batch_of(
        source=[[b"s"], [b"t"]],
        document=[[b"d"], [b"e"]],
        summary=[[b"m"], [b"n"]],
        id=[[b"1"], [b"2"]],
    )
    assert list(read_rows(extracts)) == [
        Row(b"d", b"m", b"1", b"s"),
        Row(b"e", b"n", b"2", b"t"),
    ]


@pytest.mark.parametrize("summary", [[None], [[]], [[b"a", b"b"]]])
def test_refuses_an_example_without_exactly_one_summary(
    summary: list[list[bytes] | None],
) -> None:
    extracts = batch_of(document=[[b"d"]], summary=summary, id=[[b"1"]], source=[[b"s"]])
    with pytest.raises(ValueError, match="one bytes value for the feature 'summary'"):
        list(read_rows(extracts))


def test_refuses_examples_without_a_feature() -> None:
    with pytest.raises(ValueError, match=r"'source'. Received features: document, summary, id"):
        list(read_rows(batch_of(document=[[b"d"]], summary=[[b"m"]], id=[[b"1"]])))


def test_settings_travel_in_the_eval_config() -> None:
    config = EvaluationConfig(max_examples=7, length_bucket_words=(10, 20))
    assert settings_in(eval_config(config)) == config


def test_the_eval_config_changes_with_the_settings() -> None:
    assert eval_config(EvaluationConfig()) == eval_config(EvaluationConfig())
    assert eval_config(EvaluationConfig()) != eval_config(EvaluationConfig(max_examples=7))


def test_refuses_an_eval_config_of_someone_else() -> None:
    with pytest.raises(ValueError, match="no evaluation settings"):
        settings_in(config_pb2.EvalConfig())
