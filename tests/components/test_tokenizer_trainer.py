from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
from tfx import types
from tfx.types.standard_artifacts import Examples

from components.artifacts import Tokenizer as TokenizerArtifact
from components.example_records import ExampleError
from components.tokenizer_trainer.component import TokenizerTrainer
from components.tokenizer_trainer.executor import Executor
from tests.components.fixture_examples import ROWS, SPLITS, make_examples
from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.loading import load_tokenizer, save_tokenizer
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from tokenizer.training import train_sentencepiece


@pytest.fixture
def output(tmp_path: Path) -> TokenizerArtifact:
    artifact = TokenizerArtifact()
    artifact.uri = str(tmp_path / "output")
    return artifact


def train(examples: Examples, output: TokenizerArtifact, **properties: object) -> None:
    settings = {
        "kind": "sentencepiece",
        "vocab_size": 400,
        "max_sentences": 1000,
        "pinned": "",
        **properties,
    }
    Executor().Do({"examples": [examples]}, {"tokenizer": [output]}, settings)


@pytest.mark.parametrize(
    ("kind", "train_kind"),
    [("sentencepiece", train_sentencepiece), ("byte_level_bpe", train_byte_level_bpe)],
)
def test_it_trains_on_the_documents_and_summaries_of_the_train_split(
    examples: Examples,
    output: TokenizerArtifact,
    kind: str,
    train_kind: Callable[[list[str], int], Tokenizer],
) -> None:
    train(examples, output, kind=kind, vocab_size=350)
    texts = [text for row in SPLITS["train"] for text in row]
    expected = train_kind(texts, 350)
    assert load_tokenizer(output.uri).files() == expected.files()
    assert expected.files() != train_kind([t for r in ROWS for t in r], 350).files()
    assert (output.kind, output.vocabulary_size, output.fingerprint) == (
        kind,
        expected.vocabulary_size,
        expected.fingerprint,
    )
    assert 300 < output.vocabulary_size <= 350


@pytest.mark.long
def test_a_large_split_is_sampled_and_that_is_said(
    output: TokenizerArtifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(f"document {i} of many", f"summary {i}") for i in range(30)]
    trained = []
    for name, given in (("one", rows), ("other", rows[::-1])):
        examples = make_examples(tmp_path / name, {"train": given})
        output.uri = str(tmp_path / f"output-{name}")
        with caplog.at_level(logging.INFO, "tallygraph"):
            train(examples, output, vocab_size=300, max_sentences=25)
        trained.append(output.fingerprint)
    assert trained[0] == trained[1]
    assert output.get_int_custom_property("sentences") == 25
    assert output.get_int_custom_property("sentences_in_corpus") == 60
    assert "trained on 25 of 60 sentences of the train split" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "tallygraph"):
        train(examples, output, vocab_size=300, max_sentences=60)
    assert "sentences" not in caplog.text
    assert output.fingerprint != trained[0]


def test_a_pinned_tokenizer_is_taken_over_unchanged(
    examples: Examples, output: TokenizerArtifact, tmp_path: Path
) -> None:
    pinned = train_sentencepiece(["Quite another corpus than that of the examples."], 300)
    save_tokenizer(pinned, tmp_path / "pinned")
    train(
        examples,
        output,
        pinned=str(tmp_path / "pinned"),
        pinned_fingerprint=pinned.fingerprint,
    )
    assert output.fingerprint == pinned.fingerprint
    assert load_tokenizer(output.uri).files() == pinned.files()


def test_the_tokenizer_of_a_pretrained_model_is_taken_over(
    examples: Examples, output: TokenizerArtifact, tmp_path: Path
) -> None:
    own = train_sentencepiece(["Quite another corpus than that of the examples."], 300)
    folder = tmp_path / "hugging_face"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "t5"}')
    (folder / "spiece.model").write_bytes(own.files()["tokenizer.model"])
    defined = TokenizerTrainer(types.Channel(type=Examples), pinned=str(folder))
    assert defined.exec_properties["pinned_fingerprint"] == own.fingerprint
    train(examples, output, pinned=str(folder), pinned_fingerprint=own.fingerprint)
    assert load_tokenizer(output.uri).files() == own.files()


def test_a_pinned_tokenizer_that_was_changed_is_refused(
    examples: Examples, output: TokenizerArtifact, tmp_path: Path
) -> None:
    save_tokenizer(train_sentencepiece(["Some corpus."], 300), tmp_path / "pinned")
    with (tmp_path / "pinned" / "tokenizer.model").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TokenizerError, match="were changed after"):
        train(examples, output, pinned=str(tmp_path / "pinned"))
    assert not Path(output.uri).exists()


def test_another_tokenizer_in_the_pinned_folder_is_refused(
    examples: Examples, output: TokenizerArtifact, tmp_path: Path
) -> None:
    save_tokenizer(train_sentencepiece(["Some corpus."], 300), tmp_path / "pinned")
    with pytest.raises(TokenizerError, match="Expected fingerprint: feed"):
        train(examples, output, pinned=str(tmp_path / "pinned"), pinned_fingerprint="feed")


def test_a_pinned_tokenizer_of_another_kind_is_refused(
    examples: Examples, output: TokenizerArtifact, tmp_path: Path
) -> None:
    save_tokenizer(train_sentencepiece(["Some corpus."], 300), tmp_path / "pinned")
    with pytest.raises(TokenizerError, match=r"Expected: 'bpe'. Received: 'sentencepiece'"):
        train(examples, output, kind="bpe", pinned=str(tmp_path / "pinned"))


def test_a_pinned_tokenizer_that_the_graph_reads_otherwise_is_refused(
    examples: Examples, output: TokenizerArtifact, tmp_path: Path
) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for row in ROWS for text in row]),
        model_writer=model,
        vocab_size=100,
        hard_vocab_limit=False,
        remove_extra_whitespaces=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    save_tokenizer(SentencePieceTokenizer(model.getvalue()), tmp_path / "pinned")
    with pytest.raises(TokenizerError, match="decodes differently in the graph"):
        train(examples, output, pinned=str(tmp_path / "pinned"))


def test_a_kind_that_nobody_can_train_is_refused(
    examples: Examples, output: TokenizerArtifact
) -> None:
    with pytest.raises(
        TokenizerError, match=r"one of sentencepiece, byte_level_bpe. Received: 'word"
    ):
        train(examples, output, kind="wordpiece")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"eval": ROWS}, "have no split 'train'.*Received the splits: eval"),
        ({"train": [(b"\xff", "summary")]}, "'document' .* is not UTF-8"),
    ],
)
def test_examples_that_cannot_be_read_are_an_error(
    output: TokenizerArtifact,
    tmp_path: Path,
    splits: dict[str, list[tuple[str, str]]],
    message: str,
) -> None:
    examples = make_examples(tmp_path / "examples", splits)
    with pytest.raises(ExampleError, match=message):
        train(examples, output)


def test_an_empty_train_split_is_an_error(output: TokenizerArtifact, tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "examples", {"train": []})
    with pytest.raises(TokenizerError, match="no text to train a vocabulary on"):
        train(examples, output)


def test_the_component_puts_the_pinned_fingerprint_into_its_cache_key(tmp_path: Path) -> None:
    pinned = train_sentencepiece(["Some corpus."], 300)
    save_tokenizer(pinned, tmp_path)
    examples = types.Channel(type=Examples)
    properties = TokenizerTrainer(examples, pinned=str(tmp_path)).exec_properties
    assert properties["pinned_fingerprint"] == pinned.fingerprint
    assert TokenizerTrainer(examples).exec_properties == {
        "kind": "sentencepiece",
        "vocab_size": 8000,
        "max_sentences": 100_000,
        "pinned": "",
        "pinned_fingerprint": "",
    }
    elsewhere = TokenizerTrainer(examples, pinned="/on/another/machine")
    assert elsewhere.exec_properties["pinned_fingerprint"] == ""


def test_the_descriptor_is_what_the_artifact_says(
    examples: Examples, output: TokenizerArtifact
) -> None:
    train(examples, output)
    descriptor = json.loads((Path(output.uri) / "tokenizer.json").read_text())
    assert descriptor["fingerprint"] == output.fingerprint
    assert descriptor["vocabulary_size"] == output.vocabulary_size
