"""A Unigram in a ``tokenizer.json``: T5's, mT5's and Pegasus's, as rules for the graph."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenizer.base import TokenizerError
from tokenizer.hugging_face_library import require_component

SPACE_MARK: Final = "▁"


@dataclass(frozen=True, slots=True)
class Precompiled:
    """Characters are replaced by SentencePiece's tables, as the library reads them."""

    tables: bytes


@dataclass(frozen=True, slots=True)
class Strip:
    """White space is removed at the ends."""

    left: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Replace:
    """Each run of at least this many of a character becomes one other character."""

    character: str
    at_least: int
    by: str


Step = Precompiled | Strip | Replace

# Patterns that converters of transformers write, and what each means.
_PATTERNS: Final = {" {2,}": (" ", 2), "\n": ("\n", 1)}


@dataclass(frozen=True, slots=True)
class UnigramRules:
    """The rules by which a text becomes ids.

    Attributes:
      pieces, scores: by id. A special piece has a name that no word has.
      unk_id: id of characters that are not a piece; several in a row are one id.
      steps: of normalisation, in order.
      splits_white_space: whether words end at any white space, which is dropped; else at
        spaces alone, which become `SPACE_MARK` and stay.
      marks_words: whether a word, or a text where only spaces end words, that does not
        begin with `SPACE_MARK` is given one.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    unk_id: int
    steps: tuple[Step, ...]
    splits_white_space: bool
    marks_words: bool

    def text_of(self, piece: str, first: bool) -> str:
        """Return the text of a piece in a summary."""
        return piece.replace(SPACE_MARK, "" if first and self.marks_words else " ")


def unigram_of(values: Mapping[str, Any]) -> UnigramRules:
    """Read the rules.

    Args:
      values: content of a ``tokenizer.json`` with a Unigram.

    Raises:
      TokenizerError: it counts by rules that are not supported.
    """
    model = values["model"]
    require_component("model", model, byte_fallback=False)
    pieces, scores = zip(*model["vocab"], strict=True)
    if type(model.get("unk_id")) is not int:
        raise TokenizerError(
            "this tokenizer.json has no id for unknown text. Expected: model.unk_id"
        )
    splits_white_space, marks_words = _words(values.get("pre_tokenizer"))
    require_component(
        "decoder",
        values.get("decoder") or {"type": None},
        type="Metaspace",
        replacement=SPACE_MARK,
        prepend_scheme="always" if marks_words else "never",
    )
    return UnigramRules(
        pieces=tuple(pieces),
        scores=tuple(float(each) for each in scores),
        unk_id=model["unk_id"],
        steps=_steps(values.get("normalizer")),
        splits_white_space=splits_white_space,
        marks_words=marks_words,
    )


def _words(component: Mapping[str, Any] | None) -> tuple[bool, bool]:
    """Whether all white space ends words, and whether words are marked."""
    parts = [component or {"type": None}]
    if parts[0]["type"] == "Sequence":
        parts = parts[0]["pretokenizers"]
    splits = [part["type"] == "WhitespaceSplit" for part in parts]
    if splits not in ([False], [True, False]):
        raise TokenizerError(
            "this tokenizer.json is not supported: pre_tokenizer must be Metaspace, or "
            "WhitespaceSplit and Metaspace. Received: "
            f"{', '.join(str(part['type']) for part in parts)}"
        )
    require_component(
        "pre_tokenizer",
        parts[-1],
        type="Metaspace",
        replacement=SPACE_MARK,
        split=True,
        prepend_scheme=("always", "never"),
    )
    return splits[0], parts[-1].get("prepend_scheme", "always") == "always"


def _steps(component: Mapping[str, Any] | None) -> tuple[Step, ...]:
    if component is None:
        return ()
    kind = component["type"]
    if kind == "Sequence":
        return tuple(step for part in component["normalizers"] for step in _steps(part))
    if kind == "Precompiled":
        return (Precompiled(base64.b64decode(component["precompiled_charsmap"])),)
    if kind == "Strip":
        return (Strip(component["strip_left"], component["strip_right"]),)
    pattern = component.get("pattern", {}).get("Regex")
    if kind == "Replace" and pattern in _PATTERNS and len(component["content"]) == 1:
        return (Replace(*_PATTERNS[pattern], component["content"]),)
    raise TokenizerError(
        "this tokenizer.json is not supported: its normalizer must consist of Precompiled, "
        f"Strip and Replace of {' or '.join(map(repr, _PATTERNS))}. Received: "
        f"{component!r:.200}"
    )
