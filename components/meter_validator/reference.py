"""What counts are held to: each kind of tokenizer's own library, with no code of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import sentencepiece

# Texts, any bytes → how many ids the library gives to each.
ReferenceCounts = Callable[[Sequence[bytes]], list[int]]


class UnknownTokenizerError(ValueError):
    """A Tokenizer artifact of a kind that no library is known for. Never worth a retry."""


def _sentencepiece(directory: Path) -> ReferenceCounts:
    library = sentencepiece.SentencePieceProcessor(
        model_file=str(directory / "tokenizer.model")
    )
    return lambda texts: [len(library.encode(text)) for text in texts]


_LIBRARIES: Final[Mapping[str, Callable[[Path], ReferenceCounts]]] = {
    "sentencepiece": _sentencepiece
}


def reference_counts(kind: str, directory: str | Path) -> ReferenceCounts:
    """The counting function of a tokenizer's own library.

    Args:
      kind: as the Tokenizer artifact says.
      directory: of the Tokenizer artifact; only the library's own files are read.

    Raises:
      UnknownTokenizerError: the kind has no library here.
    """
    library = _LIBRARIES.get(kind)
    if library is None:
        raise UnknownTokenizerError(
            f"no library is known for this kind of tokenizer. Expected: one of "
            f"{', '.join(_LIBRARIES)}. Received: {kind!r}"
        )
    return library(Path(directory))
