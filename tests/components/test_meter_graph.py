"""The counting ops alone, over base models that answer with given ids."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.meter.graph import MeteredModel, valid_utf8
from tests.components.fixture_base_model import FixtureBaseModel, base_spec
from tests.support.sizes import sized
from tokenizer.contract import BaseModelSpec, MeteredSummary
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer

VOCABULARY = 330
LIMIT = 6


class GivenIds(FixtureBaseModel):
    """Writes the same given ids for every row; only the number of rows is its own."""

    def __init__(self, tokenizer: SentencePieceTokenizer, output_ids: list[int]) -> None:
        super().__init__(tokenizer)
        self.output_ids = tf.Variable(output_ids, shape=[None], dtype=tf.int32)

    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        return tf.tile(self.output_ids[tf.newaxis, :], [tf.shape(input_ids)[0], 1])


@pytest.fixture(scope="module")
def given_ids(tokenizer: SentencePieceTokenizer) -> tuple[MeteredModel, tf.Variable]:
    """A metered model and the ids that its base model is to write."""
    base = GivenIds(tokenizer, [])
    spec = base_spec(tokenizer)
    spec = type(spec)(**{**spec_fields(spec), "max_output_tokens": LIMIT})
    return MeteredModel(base, spec), base.output_ids


def spec_fields(spec: BaseModelSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in type(spec).__dataclass_fields__}


def rows_of(answer: dict[str, tf.Tensor]) -> list[MeteredSummary]:
    """An answer's rows, held to the contract."""
    columns = {name: value.numpy().tolist() for name, value in answer.items()}
    for name in ("summary", "finish_reason"):
        columns[name] = [value.decode("utf-8") for value in columns[name]]
    return [
        MeteredSummary.from_row(dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def expected(
    ids: list[int], budget: int, tokenizer: SentencePieceTokenizer
) -> tuple[str, int, str]:
    """The contract's words in plain Python: summary, output_tokens, finish_reason."""
    limit = max(0, min(budget, LIMIT) if budget else LIMIT)
    written = ids[:limit]
    stopped = 1 in written
    counted = [i for i in (written[: written.index(1)] if stopped else written) if i != 0]
    known = [i for i in counted if 0 <= i < tokenizer.vocabulary_size]
    return tokenizer.decode(known), len(counted), "stop" if stopped else "length"


@settings(max_examples=sized(100, 1000))
@given(
    ids=st.lists(st.one_of(st.integers(0, 4), st.integers(0, VOCABULARY + 20)), max_size=10),
    budget=st.one_of(st.integers(-2, 9), st.sampled_from([-(2**31), 2**31 - 1])),
)
@example(ids=[], budget=0)
@example(ids=[1, 7, 8], budget=0)  # EOS at once
@example(ids=[7, 8, 9, 10, 11, 12], budget=0)  # never EOS, exactly the limit
@example(ids=[7, 8, 9, 10, 11, 1], budget=0)  # EOS at the last step
@example(ids=[7, 8, 9, 10, 11, 12, 13, 1], budget=0)  # more steps than the limit
@example(ids=[7, 8, 1], budget=2)  # EOS just beyond the budget
@example(ids=[7, 8, 1, 0, 9, 9], budget=9)  # goes on after EOS
@example(ids=[7, 10_000, -1, 9, 1], budget=0)  # ids that the vocabulary does not have
@example(ids=[199, 229, 7], budget=0)  # bytes that are no character
def test_counts_follow_the_contract(
    given_ids: tuple[MeteredModel, tf.Variable],
    tokenizer: SentencePieceTokenizer,
    ids: list[int],
    budget: int,
) -> None:
    metered, output_ids = given_ids
    output_ids.assign(ids)
    (row,) = rows_of(
        metered.summarize(tf.constant(["This call"]), tf.constant([budget], tf.int32))
    )
    assert (row.summary, row.output_tokens, row.finish_reason) == expected(
        ids, budget, tokenizer
    )


@pytest.mark.parametrize(
    ("ids", "output_tokens", "finish_reason"),
    [
        ([], 0, "length"),
        ([1], 0, "stop"),
        ([7, 8, 1], 2, "stop"),
        ([7, 8, 1, 9, 9, 9], 2, "stop"),
        ([7, 8, 1, 0, 0, 1], 2, "stop"),
        ([7] * 6, 6, "length"),
        ([7] * 5 + [1], 5, "stop"),
        ([7] * 20, 6, "length"),
        ([7, 0, 0], 1, "length"),
        ([7, 329_000, 8, 1], 3, "stop"),
    ],
)
def test_golden_counts(
    given_ids: tuple[MeteredModel, tf.Variable],
    ids: list[int],
    output_tokens: int,
    finish_reason: str,
) -> None:
    metered, output_ids = given_ids
    output_ids.assign(ids)
    (row,) = rows_of(metered.serving_default(tf.constant(["This call"])))
    assert (row.output_tokens, row.finish_reason) == (output_tokens, finish_reason)


@settings(max_examples=sized(50, 500))
@given(texts=st.lists(st.text(st.characters(exclude_categories=()), max_size=60), max_size=6))
def test_input_is_counted_cut_and_never_lost(
    given_ids: tuple[MeteredModel, tf.Variable],
    tokenizer: SentencePieceTokenizer,
    texts: list[str],
) -> None:
    metered, output_ids = given_ids
    output_ids.assign([7, 1])
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    batch = tf.constant(data, tf.string, [len(data)])
    counts = {k: v.numpy().tolist() for k, v in metered.count_tokens(batch).items()}
    totals = [tokenizer.count(text) for text in data]
    assert counts["input_tokens"] == [min(total, 24) for total in totals]
    assert counts["truncated_tokens"] == [max(0, total - 24) for total in totals]
    rows = rows_of(metered.serving_default(batch))
    assert [row.input_tokens for row in rows] == counts["input_tokens"]
    assert [row.truncated_tokens for row in rows] == counts["truncated_tokens"]


@given(st.text(max_size=40), st.binary(max_size=40))
@settings(max_examples=sized(100, 1000))
@example("\ufeff\ufffe\uffff\0", b"\xed\xa0\x80\xff")
def test_valid_text_is_kept_and_invalid_text_made_valid(text: str, data: bytes) -> None:
    kept, made = valid_utf8(tf.constant([text.encode(), data])).numpy().tolist()
    assert kept == text.encode()
    assert made.decode("utf-8") == data.decode("utf-8", "replace") or b"\xef\xbf\xbd" in made
    made.decode("utf-8")


def test_every_code_point_is_kept() -> None:
    code_points = (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    text = tf.constant([chr(c) for c in code_points])
    assert bool(tf.reduce_all(valid_utf8(text) == text))


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ([3], r"must hold one limit for each text. Limits, texts:\] \[1\] \[2\]"),
        ([3, 3, 3], r"Limits, texts:\] \[3\] \[2\]"),
    ],
)
def test_other_than_one_limit_for_each_text_is_refused(
    given_ids: tuple[MeteredModel, tf.Variable], budgets: list[int], message: str
) -> None:
    metered, _ = given_ids
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        metered.summarize(tf.constant(["a", "b"]), tf.constant(budgets, tf.int32))


def test_no_rows_are_answered_with_no_rows(given_ids: tuple[MeteredModel, tf.Variable]) -> None:
    metered, _ = given_ids
    nothing = tf.zeros([0], tf.string)
    assert rows_of(metered.serving_default(nothing)) == []
    assert rows_of(metered.summarize(nothing, tf.zeros([0], tf.int32))) == []
