"""Splits a text into words and sentences for the evaluation."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from rouge_score import tokenize as rouge_tokenize
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

# Han, Hiragana and Katakana are written without spaces: each character is a word. Hangul
# and everything else is split at what is neither letter, mark, digit nor underscore.
_IDEOGRAPH: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(f"[{_IDEOGRAPH}]|[^\\W{_IDEOGRAPH}]+")

# A sentence ends at a full stop, question or exclamation mark (with closing quotes or
# brackets) before white space, at an ideographic one anywhere, or at a blank line.
_SENTENCE_END: Final = re.compile(
    r"""(?P<mark>[.!?]+["'”’)\]]*)(?=\s)|[。！？]+["'”’」』）]*|\n[^\S\n]*\n"""
)
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(\[])(?:e\.g|i\.e|cf|vs|etc|approx|no|fig|dr|mr|mrs|ms|prof|st|[a-z])\.$",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Return the case-folded words of a text in any script, in order."""
    return _WORD.findall(text.casefold())


def word_spans(text: str) -> list[tuple[str, int, int]]:
    """The same words, each with where it begins and ends in the text."""
    return [(found[0].casefold(), *found.span()) for found in _WORD.finditer(text)]


def first_sentence(document: str) -> str:
    """Return the document's first sentence, with white space at its ends removed.

    This is what a reader without a model would use as a summary. A full stop of a common
    abbreviation or of a single letter ("e.g.", "J.") ends no sentence. A document without
    an end of a sentence is one sentence. Never longer than the document.
    """
    text = document.strip()
    for end in _SENTENCE_END.finditer(text):
        sentence = text[: end.end()].strip()
        if end["mark"] == "." and _ABBREVIATION.search(sentence):
            continue
        if words(sentence):
            return sentence
    return text


class UnicodeWords(Tokenizer):
    """Tokenizer of ROUGE for languages other than English."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


class EnglishWords(DefaultTokenizer):
    """The words of ROUGE as published (``use_stemmer=True``), each stemmed only once.

    Returns the same as `rouge_score.tokenizers.DefaultTokenizer`. Stemming takes most of
    ROUGE's time, and the same words recur.
    """

    def __init__(self) -> None:
        super().__init__(use_stemmer=True)
        self._stem = lru_cache(maxsize=100_000)(self._stemmer.stem)

    def tokenize(self, text: str) -> list[str]:
        found = rouge_tokenize.NON_ALPHANUM_RE.sub(" ", text.lower()).split()
        return [self._stem(word) if len(word) > 3 else word for word in found]


def rouge_words(kind: str) -> Tokenizer:
    """Return the tokenizer of ROUGE for a value of ``evaluation.rouge_words``."""
    if kind == "english":
        return EnglishWords()
    if kind == "unicode":
        return UnicodeWords()
    raise ValueError(f"rouge_words must be 'english' or 'unicode'. Received: {kind!r}")
