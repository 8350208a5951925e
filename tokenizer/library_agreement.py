"""Checks that the tokenizer made from a ``tokenizer.json`` counts like that file."""

from __future__ import annotations

import json
from typing import Final

import tokenizers

from tokenizer.base import Tokenizer, TokenizerError, utf8_bytes
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.hugging_face_files import HuggingFaceFiles

_GENERATED: Final = 300
_SEED: Final = 20_260_102
_LONGEST: Final = 10_000  # bytes of a text; longer ones are tried when the graph is
_WORDS: Final = ("The", "library", "counts", "as", "it", "did,", "42", "naïve", "東京")


def check_against_library(tokenizer: Tokenizer, files: HuggingFaceFiles) -> None:
    """Compare the ids of texts from the folder's own, unchanged file with those of the
    tokenizer made from it.

    Texts with the name of a special token are left out: there the two differ by contract.

    Raises:
      TokenizerError: the ids of a text differ; the message contains the text.
    """
    library = tokenizers.Tokenizer.from_str(json.dumps(files.library))
    names = [name.encode() for name in files.special]
    fixed = [text for text in FIXED_HARD_TEXTS.values() if len(text) <= _LONGEST]
    words = [*_WORDS, *(token.content for token in files.content)]
    for text in (*fixed, *generated_hard_texts(_GENERATED, _SEED, words)):
        if any(name in text for name in names):
            continue
        readable = utf8_bytes(text).decode("utf-8", "replace")
        expected = list(library.encode(readable, add_special_tokens=False).ids)
        received = tokenizer.encode(text)
        if expected != received:
            raise TokenizerError(
                "the tokenizer that is made from this tokenizer.json counts differently "
                f"from it. For {readable!r:.200} expected {expected!r:.200}, received "
                f"{received!r:.200}"
            )
