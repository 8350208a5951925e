"""Texts to test a model with: held-out documents, hard texts, and texts around its limit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tfx import types

from components.example_texts import example_texts
from components.meter_validator.reference import ReferenceCounts
from tokenizer.hard_texts import FIXED_HARD_TEXTS

HELD_OUT_SPLIT: Final = "eval"
DOCUMENT_FEATURE: Final = "document"
_MAX_DOCUMENTS_READ: Final = 100_000


@dataclass(frozen=True, slots=True)
class NamedText:
    """A text, and its name in the report."""

    name: str
    text: bytes


def held_out_documents(examples: Sequence[types.Artifact], count: int) -> list[NamedText]:
    """Return documents of the eval split, evenly spread over it.

    Raises:
      ExampleError: the examples cannot be read.
    """
    read = example_texts(examples, HELD_OUT_SPLIT, [DOCUMENT_FEATURE])
    documents = [text for (text,) in itertools.islice(read, _MAX_DOCUMENTS_READ)]
    count = min(count, len(documents))
    places = [place * len(documents) // count for place in range(count)]
    return [NamedText(f"document {place}", documents[place].encode()) for place in places]


def fixed_hard_texts() -> list[NamedText]:
    """Return the fixed list of texts on which counting tends to go wrong."""
    return [NamedText(name, text) for name, text in FIXED_HARD_TEXTS.items()]


def texts_around_limit(
    limit: int, words: Sequence[str], counts: ReferenceCounts
) -> Iterator[tuple[int, NamedText | None]]:
    """Find texts with one id less than the limit, exactly the limit, and one id more.

    Args:
      limit: the model's `max_input_tokens`.
      words: real words to make the texts from.
      counts: the reference.

    Yields:
      the number of ids, and a text with that number, or None if none was found.
    """
    for tokens in (limit - 1, limit, limit + 1):
        text = text_of_tokens(tokens, words, counts)
        yield tokens, None if text is None else NamedText(f"text of {tokens} ids", text)


def text_of_tokens(tokens: int, words: Sequence[str], counts: ReferenceCounts) -> bytes | None:
    """Find a text for which the reference gives exactly this many ids; None if none was
    found."""
    if tokens == 0:
        return b""
    words = [*words, "the", "a"]
    # As many words as fit: every word is at least one id, and counts grow with each.
    low, high = 0, tokens
    while low < high:
        middle = (low + high + 1) // 2
        (count,) = counts([_joined(words, middle)])
        low, high = (middle, high) if count <= tokens else (low, middle - 1)
    start = _joined(words, low)
    # Then short pieces of text for the last few ids.
    units = sorted({word[:cut] for word in words[:200] for cut in (1, 2, len(word))})
    endings = [b""] + [
        glue + (unit + " ").encode() * times
        for glue in (b" ", b"")
        for times in (1, 2, 3, 5, 8)
        for unit in units
    ]
    for ending in endings:
        candidate = start + ending.rstrip()
        if counts([candidate]) == [tokens]:
            return candidate
    return None


def _joined(words: Sequence[str], count: int) -> bytes:
    return " ".join(itertools.islice(itertools.cycle(words), count)).encode()
