"""``tokenizer.json``: the graph is held to the library with that very file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from components.meter_validator.reference import reference_counts
from components.meter_validator.stock_server import refused_by_stock_server
from tests.support.sizes import sized
from tests.tokenizer.conftest import CORPUS
from tests.tokenizer.hugging_face_folders import CONTENT, KINDS, SENTINELS, bart, t5, write
from tokenizer.agreement import check_agreement
from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.hugging_face_tokenizer import HuggingFaceTokenizer
from tokenizer.loading import load_tokenizer, save_tokenizer
from tokenizer.pretrained import load_pretrained_tokenizer

# What clusters, decomposes, is replaced or is white space, in any order.
_CHARACTERS = (
    "eaé™ℹ½①Å¨▁\u00a0\u2003\u3000\r\n\u0085İςｶﾞか\u3099\u0301\u0308\u200d\u200b\u0600\u0903"
    "\u0915\u0958\u094d\ufb2a\u05b0\u1100\u1161\ud7b0\U000110bd\U0001f468\U0001f1ea\0\u00ad "
)
ODD = [*_CHARACTERS, "ﬁx", "  ", "<newtok>", "file", "a b", "aaaa"]


def odd_texts(count: int) -> list[bytes]:
    generator = random.Random(20)
    return [
        "".join(generator.choice(ODD) for _ in range(generator.randint(1, 14))).encode()
        for _ in range(count)
    ]


def texts() -> list[bytes]:
    words = [*" ".join(CORPUS).split(), "<newtok>", "file", "ﬁx"]
    short = [text for text in FIXED_HARD_TEXTS.values() if len(text) < 100_000]
    generated = generated_hard_texts(sized(600, 20_000), 7, words)
    return [
        *short,
        *(text.encode() for text in CORPUS[:5]),
        *generated,
        *odd_texts(sized(600, 20_000)),
    ]


@pytest.fixture(
    scope="module",
    params=[
        *((name, 1) for name in KINDS),
        *(pytest.param((name, 0), marks=pytest.mark.long) for name in KINDS),
    ],
)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Tokenizer]:
    """A folder and its tokenizer, of each kind, with and without added tokens."""
    name, added = request.param
    folder = write(tmp_path_factory.mktemp(name), KINDS[name](), CONTENT if added else ())
    return folder, load_pretrained_tokenizer(folder)


@pytest.mark.sized
def test_graph_and_library_agree(loaded: tuple[Path, Tokenizer]) -> None:
    folder, tokenizer = loaded
    every = texts()
    check_agreement(tokenizer, every)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    names = [b"<pad>", b"</s>", b"<unk>", b"<s>", *(name.encode() for name in SENTINELS)]
    compared = 0
    for text in every:
        if not any(name in text for name in names):
            ids = library.encode(text.decode("utf-8", "replace"), add_special_tokens=False).ids
            assert tokenizer.encode(text) == ids
            compared += 1
    assert compared > 1000


def test_the_graph_runs_on_a_stock_server(loaded: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = loaded
    graph = tokenizer.graph_tokenizer()
    traced = tf.function(
        graph.tokenize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    ).get_concrete_function()
    assert not refused_by_stock_server(traced.graph.as_graph_def())


def test_an_empty_batch(loaded: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = loaded
    graph = tokenizer.graph_tokenizer()
    assert graph.tokenize(tf.constant([], tf.string)).to_list() == []
    empty = tf.ragged.constant([], tf.int32, ragged_rank=1)
    assert graph.detokenize(empty).numpy().tolist() == []


def test_names_of_special_tokens_are_text(loaded: tuple[Path, Tokenizer]) -> None:
    """A caller cannot make an id that steers the model, in the library's vocabulary or not."""
    _, tokenizer = loaded
    names = ["</s>", "<pad>", "<unk>", "<s>", *SENTINELS]
    typed = [*names, *(f"a {name} b{name}" for name in names), " ".join(names), "".join(names)]
    check_agreement(tokenizer, typed)
    special = {tokenizer.pad_id, tokenizer.eos_id, tokenizer.bos_id}
    if isinstance(tokenizer, HuggingFaceTokenizer):
        special |= tokenizer.special_ids - {tokenizer.unk_id}
    for text in typed:
        assert not special & set(tokenizer.encode(text))
        assert tokenizer.encode(text)


def test_a_folder_of_our_own_counts_the_same(
    loaded: tuple[Path, Tokenizer], tmp_path: Path
) -> None:
    _, tokenizer = loaded
    save_tokenizer(tokenizer, tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    some = [*CORPUS[:3], "a <newtok>file é </s>"]
    assert [again.encode(text) for text in some] == [tokenizer.encode(text) for text in some]
    counts = reference_counts(tokenizer.kind, tmp_path)
    assert counts([text.encode() for text in some]) == [tokenizer.count(t) for t in some]


def test_added_tokens_are_one_id_each(tmp_path: Path) -> None:
    """As found by a user: 5 tokens in transformers, 15 here."""
    for name, make in KINDS.items():
        folder = write(tmp_path / name, make(), [AddedToken("<newtok>")])
        tokenizer = load_pretrained_tokenizer(folder)
        (value,) = tokenizer.encode("<newtok>")
        ids = tokenizer.encode("This<newtok>This")
        assert ids.count(value) == 1
        assert tokenizer.decode([value]) == "<newtok>"
        written = tf.ragged.constant([[value, value]], tf.int32)
        text = tokenizer.graph_tokenizer().detokenize(written).numpy().tolist()
        assert text == [b"<newtok><newtok>"]


def test_special_ids_have_no_text(tmp_path: Path) -> None:
    tokenizer = load_pretrained_tokenizer(write(tmp_path, t5()))
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    ids = [tokenizer.eos_id, *tokenizer.encode("The file"), *sorted(tokenizer.special_ids)]
    assert tokenizer.decode(ids) == "The file"
    graph = tokenizer.graph_tokenizer()
    assert graph.detokenize(tf.ragged.constant([ids], tf.int32)).numpy().tolist() == [
        b"The file"
    ]


def test_a_byte_level_bpe_alone_is_the_one_of_its_two_files(tmp_path: Path) -> None:
    tokenizer = load_pretrained_tokenizer(write(tmp_path / "a", bart()))
    assert isinstance(tokenizer, BytePairTokenizer)
    for name, content in tokenizer.files().items():
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / name).write_bytes(content)
    (tmp_path / "b" / "config.json").write_text("{}")
    assert load_pretrained_tokenizer(tmp_path / "b").fingerprint == tokenizer.fingerprint


def test_original_files_are_taken_unless_there_are_added_tokens(tmp_path: Path) -> None:
    folder = write(tmp_path, bart())
    alone = load_pretrained_tokenizer(folder)
    for name, content in alone.files().items():
        (folder / name).write_bytes(content)
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')
    assert load_pretrained_tokenizer(folder).fingerprint == alone.fingerprint
    write(tmp_path, bart(), [AddedToken("<newtok>")])
    assert load_pretrained_tokenizer(folder).count("<newtok>") == 1


def in_component(name: str, **settings: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values[name].update(settings)


def replaced(name: str, component: Any) -> Callable[[dict[str, Any]], None]:
    content = json.loads(component.__getstate__())
    return lambda values: values.update({name: content})


@pytest.mark.parametrize(
    ("make", "content", "change", "message"),
    [
        (t5, [AddedToken("w", single_word=True)], None, "single_word false. Received: 'w'"),
        (bart, [AddedToken("s>x")], None, "inside a special .*Received: 's>x' in '<s>'"),
        (bart, [AddedToken("pad")], None, "inside a special .*Received: 'pad' in '<pad>'"),
        (
            t5,
            [AddedToken("w", lstrip=True), AddedToken(" x")],
            None,
            "begin or end with white space .*' x'",
        ),
        (
            t5,
            [],
            in_component("model", byte_fallback=True),
            "byte_fallback must be False",
        ),
        (t5, [], in_component("model", unk_id=None), "no id for unknown text"),
        (t5, [], replaced("normalizer", normalizers.NFC()), "normalizer must consist .*NFC"),
        (
            t5,
            [],
            replaced("pre_tokenizer", pre_tokenizers.Metaspace(prepend_scheme="first")),
            "prepend_scheme must be 'always' or 'never'. Received: 'first'",
        ),
        (
            t5,
            [],
            replaced("pre_tokenizer", pre_tokenizers.Whitespace()),
            "pre_tokenizer.type must be 'Metaspace'. Received: 'Whitespace'",
        ),
        (t5, [], replaced("decoder", decoders.ByteLevel()), "decoder.type must be 'Metaspace'"),
        (
            bart,
            [],
            in_component("pre_tokenizer", add_prefix_space=True),
            "add_prefix_space",
        ),
        (bart, [], in_component("model", end_of_word_suffix="x"), "end_of_word_suffix"),
        (bart, [], replaced("normalizer", normalizers.NFC()), "normalizer"),
        (t5, [], replaced("model", models.WordPiece()), "Expected: Unigram or BPE.*WordPiece"),
        (
            t5,
            [],
            lambda values: values["added_tokens"].pop(0),
            "no special token '<pad>'. Expected: <pad> and </s>",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    make: Callable[[], tokenizers.Tokenizer],
    content: list[AddedToken],
    change: Callable[[dict[str, Any]], Any] | None,
    message: str,
) -> None:
    folder = write(tmp_path, make(), content, change)
    with pytest.raises(TokenizerError, match=message):
        load_pretrained_tokenizer(folder)


@pytest.mark.parametrize("with_library", [True, False])
@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("added_tokens.json", {"<lost>": 999}),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"999": {"content": "<lost>", "special": False}}},
        ),
    ],
)
def test_added_tokens_that_only_another_file_names(
    tmp_path: Path, file: str, values: dict[str, Any], with_library: bool
) -> None:
    folder = write(tmp_path, bart())
    (folder / file).write_text(json.dumps(values))
    if not with_library:
        (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match=r"Received: '<lost>' \(id 999\). Save .* again"):
        load_pretrained_tokenizer(folder)


def test_special_tokens_that_another_file_names_are_no_content(tmp_path: Path) -> None:
    folder = write(tmp_path, t5(), [AddedToken("<sep>")])
    assert load_pretrained_tokenizer(folder).count("<sep>") == 1
    (folder / "tokenizer_config.json").write_text('{"extra_special_tokens": ["<sep>"]}')
    assert load_pretrained_tokenizer(folder).count("<sep>") > 1


def test_an_added_token_that_is_given_another_id_is_seen(tmp_path: Path) -> None:
    """The library numbers added tokens itself: a file that says otherwise is no reference."""
    folder = write(
        tmp_path, t5(), [AddedToken("<newtok>")], lambda v: v["added_tokens"][-1].update(id=990)
    )
    tokenizer = load_pretrained_tokenizer(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("<newtok>") == library.encode("<newtok>").ids
    check_agreement(tokenizer, ["a <newtok> b"])
