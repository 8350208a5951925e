"""Trains a SentencePiece vocabulary on texts: the same texts give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Final

import sentencepiece

from tokenizer.base import TokenizerError
from tokenizer.sampling import TextSample
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer

# As T5's vocabularies have them; there is no bos.
PAD_ID: Final = 0
EOS_ID: Final = 1
UNK_ID: Final = 2

# The library leaves out longer sentences, and those with these characters, without a word.
MAX_CHUNK_CHARACTERS: Final = 1024  # at most 4 bytes each, so below the library's 4192
_RESERVED: Final = str.maketrans({"\0": " ", "\u2585": " "})

# The library's own bound, which its model records: another one would be another model, byte
# by byte. It samples in the order of the corpus, so what it gets is never above its bound.
_INPUT_SENTENCE_SIZE: Final = 200_000

# Sums are added up per thread: another number of threads gives another vocabulary.
_THREADS: Final = 4
_NORMALIZATION: Final = "nmt_nfkc"  # as T5's; part of the model, and so of the graph

_TOO_SMALL_VOCABULARY: Final = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


def train_sentencepiece(
    texts: Iterable[str], vocab_size: int, sample: TextSample | None = None
) -> SentencePieceTokenizer:
    """Train a unigram vocabulary.

    Ids: pad 0, eos 1, unk 2, then one id for each of the 256 bytes, then pieces. Text that no
    piece stands for is encoded as bytes, so that nothing is lost in a summary and no input is
    free: without bytes, any run of unknown text, even a megabyte, is one `unk`.

    Args:
      texts: the corpus. Order matters to the result, unless it is sampled.
      vocab_size: maximum number of ids of the vocabulary. A corpus with little variety gives
        fewer: read `vocabulary_size` of the result.
      sample: how many sentences are taken at most; a sentence is a text of at most 1,024
        characters, or a part of a longer one, cut at white space. It then says how many there
        were.

    Raises:
      TokenizerError: the corpus has no text, or `vocab_size` has no room for the bytes and
        the corpus's own characters.
    """
    sample = sample or TextSample()
    chunks = sample.of(_chunks(texts))
    if not chunks:
        # The library would end the whole process.
        raise TokenizerError(
            "the corpus has no text to train a vocabulary on. Expected: texts with "
            "visible characters. Received: none"
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(chunks),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            byte_fallback=True,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            bos_id=-1,
            normalization_rule_name=_NORMALIZATION,
            input_sentence_size=max(_INPUT_SENTENCE_SIZE, sample.most),
            num_threads=_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TokenizerError(_explain(str(error), vocab_size, len(chunks))) from None
    return SentencePieceTokenizer(model.getvalue())


def _explain(message: str, vocab_size: int, chunk_count: int) -> str:
    if match := _TOO_SMALL_VOCABULARY.search(message):
        return (
            "the vocabulary has no room for the 256 bytes, the special ids and the corpus's "
            f"own characters. Expected: vocab_size of {match[1]} or more. Received: "
            f"{vocab_size}"
        )
    return (
        f"SentencePiece could not be trained on {chunk_count} pieces of text with "
        f"vocab_size {vocab_size}: {message}"
    )


def _chunks(texts: Iterable[str]) -> Iterator[str]:
    """Texts cut so that the library takes every one of them."""
    normalizer = sentencepiece.SentencePieceNormalizer(rule_name=_NORMALIZATION)
    for text in texts:
        for chunk in split_text(text.translate(_RESERVED), MAX_CHUNK_CHARACTERS):
            # What normalises to nothing makes the library end the whole process.
            if normalizer.normalize(chunk).strip(" \u2581"):
                yield chunk


def split_text(text: str, max_characters: int) -> Iterator[str]:
    """Cut a text at white space or, if there is none, at `max_characters`.

    No character is lost except the white space at a cut.
    """
    start = 0
    while len(text) - start > max_characters:
        # One character more, so that a cut right behind a full chunk is seen.
        window = text[start : start + max_characters + 1]
        cut = max(window.rfind(" "), window.rfind("\n"))
        if cut > 0:
            yield window[:cut]
            start += cut + 1
        else:
            yield window[:max_characters]
            start += max_characters
    if start < len(text):
        yield text[start:]
