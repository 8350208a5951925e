"""Each case asks the library itself, our Python form and the graph at once."""

from __future__ import annotations

import io

import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tokenizer.base import GraphTokenizer, TokenizerError, utf8_bytes
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.sentencepiece_tokenizer import MODEL_FILE, SentencePieceTokenizer

# The library may also be handed a lone surrogate, as JSON's "\ud800" becomes in Python.
any_character = st.characters(exclude_categories=())
hard_character = st.sampled_from(
    [*"\0\t\n ▁▅é\u0301\u200d\u202e\ufeff\ufffd>=a.", "👩", "\u05c1"]
)
any_text = st.text(st.one_of(any_character, hard_character))
many = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def library(tokenizer: SentencePieceTokenizer) -> sentencepiece.SentencePieceProcessor:
    """The tokenizer's own library, with none of our code in between."""
    return sentencepiece.SentencePieceProcessor(model_proto=tokenizer.files()[MODEL_FILE])


def graph_ids(graph: GraphTokenizer, texts: list[bytes]) -> list[list[int]]:
    return graph.tokenize(tf.constant(texts, tf.string, [len(texts)])).to_list()


def graph_texts(graph: GraphTokenizer, ids: list[list[int]]) -> list[bytes]:
    return graph.detokenize(tf.ragged.constant(ids, tf.int32, ragged_rank=1)).numpy().tolist()


@pytest.mark.parametrize(
    ("text", "ids", "decoded"),
    [
        ("", [], ""),
        (
            "This call counts the stream.",
            [264, 266, 260, 265, 261, 261, 268, 309, 267, 285, 260, 282, 275, 262, 293, 263],
            "This call counts the stream.",
        ),
        ("naïve café", [259, 267, 270, 277, 269, 265, 272, 276], "naïve café"),
        ("日本 x", [259, 233, 154, 168, 233, 159, 175, 259, 315], "日本 x"),
        (b"\xff\0a", [259, 242, 194, 192, 3, 270], "\ufffd\0a"),
        # Two segmentations are equally likely: SentencePiece 0.2.2 takes the other one.
        (">>>", [259, 271, 280], ">>>"),
        ("  two  spaces ", [282, 300, 297, 259, 260, 312, 270, 322, 283], "two spaces"),
        ("e\u0301 ﬁ ½", [259, 276, 259, 272, 266, 259, 302, 229, 132, 135, 303], "é fi 1⁄2"),
    ],
)
def test_golden_ids(
    tokenizer: SentencePieceTokenizer,
    graph: GraphTokenizer,
    library: sentencepiece.SentencePieceProcessor,
    text: str | bytes,
    ids: list[int],
    decoded: str,
) -> None:
    data = utf8_bytes(text)
    assert library.encode(data) == tokenizer.encode(text) == graph_ids(graph, [data])[0] == ids
    assert library.decode(ids) == tokenizer.decode(ids) == decoded
    assert graph_texts(graph, [ids]) == [decoded.encode()]


@many
@given(texts=st.lists(any_text, max_size=8))
@example(texts=["\ud800", "a" * 10_000, "\0" * 100, "e\u0301" * 100])
def test_any_text_has_the_librarys_ids(tokenizer, graph, library, texts) -> None:
    data = [utf8_bytes(text) for text in texts]
    expected = [library.encode(text) for text in data]
    assert [tokenizer.encode(text) for text in texts] == expected
    assert graph_ids(graph, data) == expected


@many
@given(texts=st.lists(st.binary(), max_size=8))
@example(texts=[b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x82", b"\xff" * 999])
def test_any_bytes_have_the_librarys_ids(tokenizer, graph, library, texts) -> None:
    expected = [library.encode(text) for text in texts]
    assert [tokenizer.encode(text) for text in texts] == expected
    assert graph_ids(graph, texts) == expected


@many
@given(rows=st.lists(st.lists(st.integers(0, 323)), max_size=8))
@example(rows=[[0, 1, 2], [], [2, 2], [258] * 9, [228, 133], [259, 259]])
def test_any_ids_have_the_librarys_text(tokenizer, graph, library, rows) -> None:
    expected = [library.decode(row) for row in rows]
    assert [tokenizer.decode(row) for row in rows] == expected
    # Encoding fails if the library's text is not valid Unicode; bytes must then be equal.
    assert graph_texts(graph, rows) == [text.encode("utf-8") for text in expected]


@many
@given(text=any_text)
def test_counting_a_text_does_not_depend_on_its_neighbours(tokenizer, graph, text) -> None:
    data = utf8_bytes(text)
    batch = graph_ids(graph, [b"", b"other " * 50, data, b"\xff\0", data])
    assert tokenizer.count(text) == len(batch[2]) == len(batch[4])


def test_ten_thousand_generated_texts_have_the_librarys_ids(graph, library, corpus) -> None:
    words = [word for text in corpus for word in text.split()]
    texts = [*generated_hard_texts(10_000, seed=7, words=words), *FIXED_HARD_TEXTS.values()]
    assert graph_ids(graph, texts) == [library.encode(text) for text in texts]


def test_the_graph_form_survives_a_saved_model(graph, library, tmp_path) -> None:
    module = tf.Module()
    module.graph = graph
    module.ids = tf.function(
        lambda text: graph.tokenize(text), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    text = "This call counts the 日本.".encode()
    assert loaded.ids(tf.constant([text])).to_list() == [library.encode(text)]
    assert loaded.ids(tf.zeros([0], tf.string)).to_list() == []


def test_special_ids_are_those_of_t5(tokenizer) -> None:
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2)
    assert tokenizer.bos_id is None
    assert tokenizer.kind == "sentencepiece"
    assert tokenizer.vocabulary_size == 324


@pytest.mark.parametrize("bad_id", [-1, 324, 2**31])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, bad_id) -> None:
    with pytest.raises(TokenizerError, match=rf"Expected: 0 to 323. Received: {bad_id}"):
        tokenizer.decode([5, bad_id])


@pytest.mark.parametrize("model", [b"", b"not a model"])
def test_bytes_that_are_no_model_are_refused(model) -> None:
    with pytest.raises(TokenizerError, match=rf"not a SentencePiece model.*{len(model)} bytes"):
        SentencePieceTokenizer(model)


def test_a_model_without_padding_is_refused(corpus) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=model,
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match="has no pad_id"):
        SentencePieceTokenizer(model.getvalue())
