"""What is reserved: the most that a request can cost, by its limit and its texts' lengths."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from serving.gateway.service import most_tokens
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.running_gateway import RunningGateway
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.training import train_sentencepiece

WORDS = ["one", "two", "a", "b", "text"]
TEXTS = [
    text.decode(errors="replace")
    for text in (*FIXED_HARD_TEXTS.values(), *generated_hard_texts(100, 7, WORDS))
    if len(text) < 100_000
]


def sentencepiece() -> Callable[[str], int]:
    trained = train_sentencepiece([" ".join(WORDS)] * 10, 300)
    return lambda text: len(trained.encode(text))


def bytes_alone() -> Callable[[str], int]:
    """One id for each byte, and a space before the text, as BART's without any merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    built = Tokenizer(models.BPE({sign: i for i, sign in enumerate(alphabet)}, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    built.decoder = decoders.ByteLevel()
    return lambda text: len(built.encode(text).ids)


def characters_with_added_tokens() -> Callable[[str], int]:
    """One id for each character in its normal form, and for a space before each part between
    added tokens, which are single characters: the most that a vocabulary can make of a text."""
    built = Tokenizer(models.BPE({"<unk>": 0, "▁": 1}, [], unk_token="<unk>"))
    built.normalizer = normalizers.NFKD()
    built.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    built.add_tokens([AddedToken(sign, normalized=False) for sign in "\n\tab"])
    return lambda text: len(built.encode(text).ids)


@pytest.mark.parametrize(
    "vocabulary", [sentencepiece, bytes_alone, characters_with_added_tokens]
)
def test_no_vocabulary_makes_more_of_a_text(
    vocabulary: Callable[[], Callable[[str], int]],
) -> None:
    count = vocabulary()
    for text in (*TEXTS, "\ufdfa" * 50, "\u0390" * 50, "a\n" * 50, "\U0001d160" * 20):
        assert count(text) <= most_tokens(text), text[:80]

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=200))
    def made_up(text: str) -> None:
        assert count(text) <= most_tokens(text)

    made_up()


# Of the small model: 8 tokens read at 1, 4 written at 10.
@pytest.mark.parametrize(
    ("fields", "reserved"),
    [
        ({"text": "one two three four"}, 8 + 40),
        ({"text": "one two three four", "max_output_tokens": 1}, 8 + 10),
        ({"text": "one two three four", "max_output_tokens": 9}, 8 + 40),
        ({"text": "a"}, 4 + 40),
        ({"text": ["a", "a"], "max_output_tokens": 1}, 8 + 20),
    ],
)
def test_the_most_that_it_can_cost(
    gated_gateway: RunningGateway, gate: GatedProxy, fields: dict[str, Any], reserved: int
) -> None:
    gateway = gated_gateway
    with (
        gateway.client(gateway.key(budget_micro=reserved)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        gate.shut()
        body = {"model": "summarizer", **fields}
        asked = pool.submit(client.post, "/v1/summaries", json=body)
        gate.wait_for_questions(1)
        assert gateway.reserved_micro() == reserved
        gate.open()
        assert asked.result().status_code == 200


def test_a_lower_limit_fits_into_a_budget_as_the_refusal_says(gateway: RunningGateway) -> None:
    body = {"model": "summarizer", "text": "one two three"}
    with gateway.client(gateway.key(budget_micro=20)) as client:
        refused = client.post("/v1/summaries", json=body)
        assert refused.status_code == 429
        assert "lower the limit of output tokens" in refused.json()["error"]["message"]
        assert client.post("/v1/summaries", json={**body, "max_output_tokens": 1}).is_success
