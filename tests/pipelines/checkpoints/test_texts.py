"""From a text to a summary as transformers has it, with a folder as transformers 5 saved it."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from pipelines.checkpoints.opening import open_checkpoint
from pipelines.checkpoints.settings import with_checkpoint
from pipelines.config_sections import ModelConfig, TokenizerConfig
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from tests.pipelines.checkpoints.fixture_checkpoints import FIXTURES, architecture_of

# The others take seconds to trace, too.
NAMES = [
    "distilbart",
    pytest.param("t5_uneven", marks=pytest.mark.long),
    pytest.param("pegasus", marks=pytest.mark.long),
]


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_summaries_are_those_of_transformers(name: str) -> None:
    answers = json.loads((FIXTURES / name / "texts.json").read_text(encoding="utf-8"))
    texts = [answer["text"] for answer in answers]
    checkpoint = open_checkpoint(FIXTURES / name)
    taken, _ = with_checkpoint(
        ModelConfig(init_from=str(FIXTURES / name), max_input_tokens=60), TokenizerConfig(), {}
    )
    recipe = {key: getattr(taken, key) for key in checkpoint.generation.settings}
    architecture = architecture_of(checkpoint, **recipe)
    model = build_model(architecture)
    checkpoint.load_into(model)
    graph = checkpoint.tokenizer.graph_tokenizer()

    ids = tf.function(graph.tokenize, autograph=False)(tf.constant(texts))
    assert ids.to_list() == [answer["ids"] for answer in answers]
    decoder = Decoder(serving_graph(model, architecture), architecture)
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    written = decoder.generate(ids.to_tensor(0), lengths, tf.zeros_like(lengths))
    has_text = (written != architecture.pad_id) & (written != architecture.eos_id)
    has_text &= written < checkpoint.tokenizer.vocabulary_size
    summaries = graph.detokenize(tf.ragged.boolean_mask(written, has_text)).numpy().tolist()
    assert [each.decode() for each in summaries] == [each["summary"] for each in answers]


def test_an_added_token_is_read_and_written_as_one_id() -> None:
    answers = json.loads((FIXTURES / "t5_uneven" / "texts.json").read_text(encoding="utf-8"))
    tokenizer = open_checkpoint(FIXTURES / "t5_uneven").tokenizer
    (value,) = tokenizer.encode("<newtok>")
    (answer,) = [each for each in answers if "<newtok>" in each["text"]]
    assert answer["ids"].count(value) == answer["text"].count("<newtok>") == 2
