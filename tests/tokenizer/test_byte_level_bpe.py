"""What only byte-level BPE has: files of others, the order of merges, classes of characters."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from tests.support.sizes import sized
from tokenizer import character_classes
from tokenizer.base import TokenizerError
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.bpe_vocabulary import byte_characters

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def files_of(pieces: list[str], merges: list[tuple[str, str]]) -> tuple[bytes, bytes]:
    vocabulary = json.dumps({piece: value for value, piece in enumerate(pieces)})
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    return vocabulary.encode(), f"#version: 0.2\n{lines}".encode()


def graph_ids(tokenizer: BytePairTokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer.graph_tokenizer().tokenize(tf.constant(texts)).to_list()


def test_special_ids_are_those_of_bart(byte_level_bpe_tokenizer: BytePairTokenizer) -> None:
    tokenizer = byte_level_bpe_tokenizer
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id) == (0, 1, 2)
    assert tokenizer.unk_id is None
    assert tokenizer.kind == "byte_level_bpe"
    assert tokenizer.vocabulary_size == 369


def test_bytes_are_written_as_the_library_writes_them() -> None:
    assert sorted(byte_characters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(1, 0x800)))
    ((written, _),) = splitter.pre_tokenize_str(text)
    assert written == "".join(byte_characters()[byte] for byte in text.encode())


def test_files_as_those_of_bart_are_read() -> None:
    # Given pieces in BART's order, which is by frequency, with what its vocabulary adds
    merges = [("t", "h"), ("Ġ", "th"), ("Ġth", "e"), ("c", "a")]
    made = ["Ġthe", "ca", "Ġth", "th"]
    pieces = [*SPECIAL, *made, *byte_characters(), "madeupword0000", "<mask>"]
    tokenizer = BytePairTokenizer(*files_of(pieces, merges))
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id) == (0, 1, 2)
    # No space is put before a text, and neither <mask> nor an added word is made of one.
    texts = ["the cat the", "<mask>madeupword0000", "</s>"]
    assert graph_ids(tokenizer, texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode("the the") == [7, pieces.index("e"), 4]
    mask, added = len(pieces) - 1, len(pieces) - 2
    assert not {mask, added} & set(tokenizer.encode("<mask>madeupword0000"))
    # Special ids have no text, an added word its own.
    assert tokenizer.decode([0, 4, mask, added, 2, 1]) == " themadeupword0000"


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (["<pad>"], "has no '<pad>', the piece for padding"),
        (["</s>"], "has no '</s>', the piece for the end of a text"),
        (["a", "Ġ"], r"lacks pieces for 2 of the 256 bytes.*Missing: 0x20, 0x61"),
    ],
)
def test_a_vocabulary_that_lacks_what_is_needed_is_refused(
    without: list[str], message: str
) -> None:
    pieces = [piece for piece in (*SPECIAL, *byte_characters()) if piece not in without]
    with pytest.raises(TokenizerError, match=message):
        BytePairTokenizer(*files_of(pieces, []))


def test_gpt2s_own_vocabulary_which_has_no_padding_is_refused() -> None:
    pieces = [*byte_characters(), "<|endoftext|>"]
    with pytest.raises(TokenizerError, match="has no '<pad>'"):
        BytePairTokenizer(*files_of(pieces, []))


ALL = json.dumps({p: i for i, p in enumerate((*SPECIAL, *byte_characters(), "ab"))}).encode()


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        (b"{", b"", "vocab.json is not JSON"),
        (b"\xff", b"", "vocab.json is not JSON"),
        (b"[1]", b"", "vocab.json is not a vocabulary.*Received: list"),
        (b'{"a": "b"}', b"", "vocab.json is not a vocabulary"),
        (b'{"a": true}', b"", "vocab.json is not a vocabulary"),
        (b'{"a": 0, "b": 2}', b"", "gaps or repeats.*2 different ids from 0 to 2"),
        (b'{"a": 0, "b": 0}', b"", "gaps or repeats"),
        (b'{"\\ud800": 0}', b"", "a piece that is not text"),
        (b"{}", b"", "lacks pieces for 256"),
        (ALL, b"\xff", "merges.txt is not UTF-8"),
        (ALL, b"a b c\n", "line 1, is not a merge.*Received: 'a b c'"),
        (ALL, b"#version: 0.2\na b\nab\n", "line 3, is not a merge.*Received: 'ab'"),
        (ALL, b"a b\na b\n", "a pair of pieces twice"),
        (ALL, b"a c\n", "needs the piece 'ac', which the vocabulary lacks"),
        (ALL, b"<s> a\n", "a merge with the special piece '<s>'"),
    ],
)
def test_files_that_are_no_vocabulary_are_refused(
    vocabulary: bytes, merges: bytes, message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        BytePairTokenizer(vocabulary, merges)


def test_merges_that_make_a_special_piece_are_refused() -> None:
    pieces = [*SPECIAL, *byte_characters(), "<s"]
    with pytest.raises(TokenizerError, match="a merge with the special piece '<s>'"):
        BytePairTokenizer(*files_of(pieces, [("<", "s"), ("<s", ">")]))


def test_line_ends_of_windows_change_nothing(
    byte_level_bpe_tokenizer: BytePairTokenizer,
) -> None:
    files = byte_level_bpe_tokenizer.files()
    windows = BytePairTokenizer(
        files["vocab.json"], files["merges.txt"].replace(b"\n", b"\r\n")
    )
    assert windows.bpe == byte_level_bpe_tokenizer.bpe


def random_vocabulary(generator: random.Random) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges that no training gives: a piece made in several ways, what is made by an urgent
    merge out of less urgent ones."""
    pieces = list("abc"[: generator.randint(1, 3)])
    merges: dict[tuple[str, str], None] = {}
    for _ in range(generator.randint(1, 14)):
        pair = generator.choice(pieces), generator.choice(pieces)
        if len(pair[0] + pair[1]) <= 9:
            merges[pair] = None
            pieces.append("".join(pair))
    order = list(merges)
    if generator.random() < 0.6:
        generator.shuffle(order)
    others = dict.fromkeys(piece for piece in pieces if len(piece) > 1)
    return [*SPECIAL, *byte_characters(), *others], order


@settings(max_examples=sized(10, 100))
@given(seed=st.integers(0, 2**32))
def test_any_merges_join_as_the_library_joins_them(seed: int) -> None:
    generator = random.Random(seed)
    pieces, merges = random_vocabulary(generator)
    library = tokenizers.ByteLevelBPETokenizer(
        {piece: value for value, piece in enumerate(pieces)}, merges
    )
    words = [
        "".join(generator.choices("abc", [4, 2, 1], k=generator.randint(1, 40)))
        for _ in range(200)
    ]
    tokenizer = BytePairTokenizer(*files_of(pieces, merges))
    expected = [library.encode(word).ids for word in words]
    assert graph_ids(tokenizer, words) == expected


def test_a_long_word_takes_few_more_rounds_than_short_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a vocabulary with much to join in any run of letters, and two texts of as many
    generator = random.Random(5)
    learned = ["".join(generator.choices("etaoinsrhldc", k=200)) for _ in range(200)]
    tokenizer = train_byte_level_bpe(learned, vocab_size=1500)
    letters = "".join(generator.choices("etaoinsrhldc", k=60_000))
    short = " ".join(letters[i : i + 10] for i in range(0, len(letters), 10))
    rounds = 0
    loop = tf.while_loop

    def counted_loop(
        cond: Callable[..., object],
        body: Callable[..., object],
        *arguments: Any,
        **options: Any,
    ) -> object:
        def counted(*state: Any) -> object:
            nonlocal rounds
            rounds += 1
            return body(*state)

        return loop(cond, counted, *arguments, **options)

    monkeypatch.setattr(tf, "while_loop", counted_loop)
    graph = tokenizer.graph_tokenizer()
    needed = []
    for text in (short, letters):
        rounds = 0
        ids = graph.tokenize(tf.constant([text]))  # eagerly, so that each round is a call
        assert ids.to_list() == [tokenizer.encode(text)]
        needed.append(rounds)
    # Joined one rank a round, as is plain, the long one would take over a thousand.
    assert 1 < needed[0] <= needed[1] < 12 * needed[0]


def test_classes_of_characters_are_those_of_the_library() -> None:
    members: dict[int, list[str]] = {}
    borders = [*character_classes.STARTS, 0x110000]
    for kind, (begin, end) in zip(
        character_classes.CLASSES, itertools.pairwise(borders), strict=True
    ):
        valid = (c for c in range(begin, end) if not 0xD800 <= c < 0xE000)
        members.setdefault(kind, []).extend(map(chr, valid))
    assert sum(map(len, members.values())) == 0x110000 - 0x800
    assert {"a", "é", "漢"} <= set(members[character_classes.LETTER])
    assert {"1", "²", "Ⅷ"} <= set(members[character_classes.NUMBER])
    assert {" ", "\n", "\u3000"} <= set(members[character_classes.SPACE])
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    for kind, characters in members.items():
        # A word has one class, so all of a class in one word are of that class.
        assert len(splitter.pre_tokenize_str("".join(characters))) == 1, kind
