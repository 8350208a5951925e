"""What int8 costs: scored pair by pair, kept beside the export, and shown by the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the SavedModel)

from pipelines.checkpoints.keras_preset import save_preset
from pipelines.config_sections import ExportConfig
from pipelines.exporting.quantising import COST_FILE, MOST_DOCUMENTS, QuantisingCost, compare
from pipelines.models.architecture import Architecture
from pipelines.models.families import build_model
from tests.pipelines.training.training_runs import MODEL, TransformedCorpus, export
from tests.pipelines.transformed_corpus import pairs
from tokenizer.contract import TOKENIZER_DIR
from tokenizer.loading import load_tokenizer, save_tokenizer

HELD_OUT = [(row["document"].decode(), row["summary"].decode()) for row in pairs()[:20]]


def whole(texts: Sequence[str]) -> list[str]:
    return list(texts)


def first_word_of_every_second(texts: Sequence[str]) -> list[str]:
    return [text.split()[0] if "2" in text else text for text in texts]


def test_the_change_is_that_of_the_pairs() -> None:
    documents = [("one two", "one two"), ("2 two", "2 two")] * 20
    cost = compare(
        documents, whole, first_word_of_every_second, rouge_words="english", sizes=(40, 10)
    )
    assert cost is not None
    assert (cost.documents, cost.equal) == (40, 20)
    assert cost.rouge_l_float32 == 1
    # One word of two: precision 1, recall 1/2, so F1 is 2/3; for half of them.
    assert cost.rouge_l_int8 == pytest.approx((1 + 2 / 3) / 2)
    assert cost.rouge_l_change == pytest.approx(-1 / 6)
    assert cost.standard_error == pytest.approx((20 * 2 * (1 / 6) ** 2 / 39 / 40) ** 0.5)
    assert cost.size_share == 0.25


def test_no_more_documents_are_summarised_than_say_enough() -> None:
    asked: list[str] = []

    def counting(texts: Sequence[str]) -> list[str]:
        asked.extend(texts)
        return list(texts)

    many = ((f"{i}", f"{i}") for i in range(2 * MOST_DOCUMENTS))
    cost = compare(many, counting, whole, rouge_words="english", sizes=(1, 1))
    assert cost is not None
    assert cost.documents == len(asked) == MOST_DOCUMENTS
    assert compare([], whole, whole, rouge_words="english", sizes=(1, 1)) is None


def test_it_is_kept_and_read_again(tmp_path: Path) -> None:
    assert QuantisingCost.load(tmp_path) is None
    cost = QuantisingCost(3, 2, 0.5, 0.25, 0.125, 40, 10)
    cost.save(tmp_path)
    assert QuantisingCost.load(tmp_path) == cost
    (tmp_path / COST_FILE).write_text(json.dumps({"documents": 3}))
    with pytest.raises(
        ValueError, match=r"quantising\.json must have the fields bytes_float32"
    ):
        QuantisingCost.load(tmp_path)


@pytest.mark.long  # compiles an export
def test_an_export_in_int8_says_what_it_costs(
    corpus: TransformedCorpus, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(corpus.tokenizer_dir)
    architecture = Architecture.from_config(
        MODEL,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        prefix_ids=tuple(tokenizer.encode("Return ")),
    )
    keras.utils.set_random_seed(5)
    trained = tmp_path / "Format-Serving"
    save_tokenizer(tokenizer, trained / TOKENIZER_DIR)
    save_preset(build_model(architecture), architecture, (), trained)
    directory = export(
        SimpleNamespace(serving_model_dir=str(trained), custom_config={"model": MODEL}),
        corpus,
        settings=ExportConfig(xla=True, weights="int8", row_buckets=(8,), width_buckets=(64,)),
        held_out=HELD_OUT,
    )
    cost = QuantisingCost.load(directory)
    assert cost is not None
    assert cost.documents == 20
    assert 0 <= cost.rouge_l_int8 <= 1
    assert cost.size_share < 0.5
    # The very export, not another one.
    answer = tf.saved_model.load(str(directory)).signatures["serving_default"]
    summaries = {
        document: answer(text=tf.constant([document]))["summary"].numpy()[0].decode()
        for document, _ in HELD_OUT
    }

    def as_before(texts: Sequence[str]) -> list[str]:
        return [summaries[text] for text in texts]

    again = compare(HELD_OUT, as_before, as_before, rouge_words="english", sizes=(1, 1))
    assert again is not None
    assert again.rouge_l_int8 == pytest.approx(cost.rouge_l_int8)
