"""Trains a byte-level BPE on texts: the same texts give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from tokenizer.base import TokenizerError
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.bpe_vocabulary import BOS, EOS, PAD, UNK
from tokenizer.sampling import TextSample

# As BART's vocabularies have them: ids 0 to 3.
_SPECIAL_PIECES = (BOS, PAD, EOS, UNK)
SMALLEST_VOCABULARY = len(_SPECIAL_PIECES) + 256


def train_byte_level_bpe(
    texts: Iterable[str], vocab_size: int, sample: TextSample | None = None
) -> BytePairTokenizer:
    """Train a byte-level BPE.

    Ids: ``<s>`` 0, ``<pad>`` 1, ``</s>`` 2, ``<unk>`` 3, then one for each byte, then
    pieces in the order of their merges.

    Args:
      texts: the corpus.
      vocab_size: maximum number of ids of the vocabulary. A corpus with little variety gives
        fewer: read `vocabulary_size` of the result.
      sample: how many texts are taken at most, each of them whole; it then says how many
        there were.

    Raises:
      TokenizerError: the corpus has no text, or `vocab_size` has no room for the bytes.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise TokenizerError(
            "the vocabulary has no room for the 256 bytes and the special ids. Expected: "
            f"vocab_size of {SMALLEST_VOCABULARY} or more. Received: {vocab_size}"
        )
    readable = (sample or TextSample()).of(map(_readable, texts))
    if not any(text.strip() for text in readable):
        raise TokenizerError(
            "the corpus has no text to train a vocabulary on. Expected: texts with visible "
            "characters. Received: none"
        )
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    library.train_from_iterator(
        readable,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=list(_SPECIAL_PIECES),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model = json.loads(library.to_str())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return BytePairTokenizer(
        json.dumps(model["vocab"], ensure_ascii=False).encode(),
        f"#version: 0.2\n{merges}".encode(),
    )


def _readable(text: str) -> str:
    """What cannot be UTF-8 is read as it is when it is encoded."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
