"""Each case asks the tokenizer's own library, our Python form and the graph at once.

Cases without a kind in their name hold for every kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components.meter_validator.stock_server import refused_by_stock_server
from tests.support.sizes import sized
from tests.tokenizer.library import Library
from tokenizer.base import GraphTokenizer, Tokenizer, TokenizerError, utf8_bytes
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts

# The library may also be handed a lone surrogate, as JSON's "\ud800" becomes in Python.
any_character = st.characters(exclude_categories=())
hard_character = st.sampled_from(
    [*"\0\t\n ▁▅é\u0301\u200d\u202e\ufeff\ufffd>=a.'1²\u3000👩\u05c1"]
)
any_text = st.text(st.one_of(any_character, hard_character))
hard_text = st.lists(hard_character | st.sampled_from(["'ll", " 's", "  ", "re"])).map("".join)
many = settings(
    max_examples=sized(100, 1000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def graph_ids(graph: GraphTokenizer, texts: list[bytes]) -> list[list[int]]:
    return graph.tokenize(tf.constant(texts, tf.string, [len(texts)])).to_list()


def graph_texts(graph: GraphTokenizer, ids: list[list[int]]) -> list[bytes]:
    return graph.detokenize(tf.ragged.constant(ids, tf.int32, ragged_rank=1)).numpy().tolist()


# Text, its ids, and the text of those ids where it is another one.
GOLDEN: dict[str, list[tuple[str | bytes, list[int], str | None]]] = {
    "sentencepiece": [
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
    "byte_level_bpe": [
        ("", [], ""),
        ("This call counts the stream.", [287, 289, 366, 291, 326, 17], None),
        ("naïve café", [276, 279, 297], None),
        ("日本 x", [166, 249, 102, 166, 254, 109, 224, 91], None),
        (b"\xff\0a", [175, 127, 125, 192, 68], "\ufffd\0a"),
        (">>>", [261, 33], None),
        # White space goes to the next word but for all of it before the last blank.
        ("  two  spaces ", [224, 268, 90, 82, 224, 224, 86, 83, 68, 70, 264, 224], None),
        # A contraction is a word where the apostrophe starts one, and in small letters only.
        ("it's 's", [336, 269, 224, 10, 86], None),
        ("we'll I'LL x'", [90, 72, 10, 274, 224, 44, 10, 47, 47, 224, 91, 10], None),
        ("1st² ½", [20, 267, 130, 114, 224, 130, 125], None),
        ("e\u0301 ﬁ", [72, 140, 227, 224, 175, 109, 227], None),
        # Special pieces in a text are text.
        ("</s><pad>", [31, 18, 86, 33, 31, 83, 334, 33], None),
    ],
}


def test_golden_ids(tokenizer: Tokenizer, graph: GraphTokenizer, library: Library) -> None:
    for text, ids, other in GOLDEN[tokenizer.kind]:
        data = utf8_bytes(text)
        decoded = text if other is None else other
        assert library.encode(data) == tokenizer.encode(text) == ids
        assert graph_ids(graph, [data]) == [ids]
        assert library.decode(ids) == tokenizer.decode(ids) == decoded
        assert graph_texts(graph, [ids]) == [decoded.encode()]


@many
@given(texts=st.lists(any_text | hard_text, max_size=8))
@example(texts=["\ud800", "a" * 10_000, "\0" * 100, "e\u0301" * 100])
def test_any_text_has_the_librarys_ids(
    tokenizer: Tokenizer, graph: GraphTokenizer, library: Library, texts: list[str]
) -> None:
    data = [utf8_bytes(text) for text in texts]
    expected = [library.encode(text) for text in data]
    assert [tokenizer.encode(text) for text in texts] == expected
    assert graph_ids(graph, data) == expected


@many
@given(texts=st.lists(st.binary(), max_size=8))
@example(texts=[b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x82", b"\xff" * 999])
def test_any_bytes_have_the_librarys_ids(
    tokenizer: Tokenizer, graph: GraphTokenizer, library: Library, texts: list[bytes]
) -> None:
    expected = [library.encode(text) for text in texts]
    assert [tokenizer.encode(text) for text in texts] == expected
    assert graph_ids(graph, texts) == expected


@many
@given(rows=st.lists(st.lists(st.integers(0, 2**16)), max_size=8))
@example(rows=[[0, 1, 2], [], [2, 2], [258] * 9, [228, 133], [259, 259]])
def test_any_ids_have_the_librarys_text(
    tokenizer: Tokenizer, graph: GraphTokenizer, library: Library, rows: list[list[int]]
) -> None:
    rows = [[value % tokenizer.vocabulary_size for value in row] for row in rows]
    expected = [library.decode(row) for row in rows]
    assert [tokenizer.decode(row) for row in rows] == expected
    # Encoding fails if the library's text is not valid Unicode; bytes must then be equal.
    assert graph_texts(graph, rows) == [text.encode("utf-8") for text in expected]


@many
@given(text=any_text)
def test_counting_a_text_does_not_depend_on_its_neighbours(
    tokenizer: Tokenizer, graph: GraphTokenizer, text: str
) -> None:
    data = utf8_bytes(text)
    batch = graph_ids(graph, [b"", b"other " * 50, data, b"\xff\0", data])
    assert tokenizer.count(text) == len(batch[2]) == len(batch[4])


def test_ten_thousand_generated_texts_have_the_librarys_ids(
    graph: GraphTokenizer, library: Library, corpus: list[str]
) -> None:
    words = [word for text in corpus for word in text.split()]
    texts = [*generated_hard_texts(10_000, seed=7, words=words), *FIXED_HARD_TEXTS.values()]
    assert graph_ids(graph, texts) == [library.encode(text) for text in texts]


def test_the_graph_form_survives_a_saved_model(
    graph: GraphTokenizer, library: Library, tmp_path: Path
) -> None:
    module = tf.Module()
    module.graph = graph
    module.ids, module.texts = graph.tokenize, graph.detokenize
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    text = "This call counts the 日本.".encode()
    ids = loaded.ids(tf.constant([text]))
    assert ids.to_list() == [library.encode(text)]
    assert loaded.texts(ids).numpy().tolist() == [text]
    assert loaded.ids(tf.zeros([0], tf.string)).to_list() == []


def test_a_stock_server_has_the_graphs_ops(graph: GraphTokenizer) -> None:
    traced = tf.function(lambda text: graph.detokenize(graph.tokenize(text)))
    concrete = traced.get_concrete_function(tf.TensorSpec([None], tf.string))
    assert refused_by_stock_server(concrete.graph.as_graph_def(use_pybind11_proto=False)) == []


def test_an_id_outside_the_vocabulary_is_refused_in_both_forms(
    tokenizer: Tokenizer, graph: GraphTokenizer
) -> None:
    size = tokenizer.vocabulary_size
    for bad_id in (-1, size, 2**31):
        with pytest.raises(
            TokenizerError, match=rf"Expected: 0 to {size - 1}. Received: {bad_id}"
        ):
            tokenizer.decode([5, bad_id])
    for bad_id in (-1, size):
        with pytest.raises(tf.errors.OpError):
            graph_texts(graph, [[5], [bad_id]])


def test_no_text_has_the_id_of_the_unknown(tokenizer: Tokenizer, library: Library) -> None:
    texts = [*FIXED_HARD_TEXTS.values(), *(bytes([byte]) for byte in range(256))]
    unknown = {"sentencepiece": 2, "byte_level_bpe": 3}[tokenizer.kind]
    assert library.decode([unknown]).strip() in ("", "⁇")
    assert all(unknown not in library.encode(text) for text in texts)
