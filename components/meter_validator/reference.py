"""The reference for counts: the library of each kind of tokenizer, without this project's
code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sentencepiece
import tokenizers

# Texts, any bytes → how many ids the library gives to each.
ReferenceCounts = Callable[[Sequence[bytes]], list[int]]


class UnknownTokenizerError(ValueError):
    """There is no library for the kind of a Tokenizer artifact. Never worth a retry."""


def _sentencepiece(directory: Path) -> ReferenceCounts:
    library = sentencepiece.SentencePieceProcessor(
        model_file=str(directory / "tokenizer.model")
    )
    return lambda texts: [len(library.encode(text)) for text in texts]


def _byte_level_bpe(directory: Path) -> ReferenceCounts:
    library = tokenizers.ByteLevelBPETokenizer.from_file(
        str(directory / "vocab.json"), str(directory / "merges.txt")
    )
    # The library takes Unicode only. What is not UTF-8 is read as Python and Unicode 3.9
    # have it: one U+FFFD for each maximal part that is ill-formed.
    return lambda texts: [
        len(library.encode(text.decode("utf-8", "replace")).ids) for text in texts
    ]


def _hugging_face(directory: Path) -> ReferenceCounts:
    library = tokenizers.Tokenizer.from_file(str(directory / "hugging_face.json"))
    library.encode_special_tokens = True  # their names are text
    return lambda texts: [
        len(library.encode(text.decode("utf-8", "replace"), add_special_tokens=False).ids)
        for text in texts
    ]


@dataclass(frozen=True, slots=True)
class _Library:
    """A library by its name on PyPI, and how a tokenizer's folder is read with it."""

    name: str
    load: Callable[[Path], ReferenceCounts]


_LIBRARIES: Final[Mapping[str, _Library]] = {
    "sentencepiece": _Library("sentencepiece", _sentencepiece),
    "byte_level_bpe": _Library("tokenizers", _byte_level_bpe),
    "hugging_face": _Library("tokenizers", _hugging_face),
}


def reference_counts(kind: str, directory: str | Path) -> ReferenceCounts:
    """Return the counting function of a tokenizer's own library.

    Args:
      kind: as the Tokenizer artifact says.
      directory: of the Tokenizer artifact; only the library's own files are read.

    Raises:
      UnknownTokenizerError: the kind has no library here.
    """
    return _library(kind).load(Path(directory))


def library_name(kind: str) -> str:
    """Return the name on PyPI of the library that a kind's counts are compared with.

    Raises:
      UnknownTokenizerError: the kind has no library here.
    """
    return _library(kind).name


def _library(kind: str) -> _Library:
    library = _LIBRARIES.get(kind)
    if library is None:
        raise UnknownTokenizerError(
            "there is no library to check this kind of tokenizer with. Expected: one of "
            f"{', '.join(_LIBRARIES)}. Received: {kind!r}"
        )
    return library
