"""Spans of a corpus: which there are, which are asked for, and the files of these."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tfx.proto import example_gen_pb2

from components.corpus_example_gen.corpus_path import CorpusInput, resolve_corpus
from components.corpus_example_gen.files import list_files
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions

LATEST: Final = "latest"

_SPAN: Final = re.compile(r"\{SPAN(?::(\d+))?\}")
_LATEST: Final = re.compile(rf"{LATEST}(?::([1-9]\d*))?")
_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")
_WILD: Final = {"*": "[^/]*", "?": "[^/]"}


def spans_of(path: str, options: CorpusOptions) -> dict[int, str]:
    """The spans that a corpus has files of, rising: their numbers, as written in names.

    Args:
      path: with ``{SPAN}``, or ``{SPAN:2}`` where numbers have two digits.

    Raises:
      CorpusInputError: there is no ``{SPAN}`` in it, or no file that can be read.
    """
    if not _SPAN.search(path):
        raise CorpusInputError(
            f"The corpus {path} has no spans. Expected {{SPAN}} where their numbers are, as in "
            "articles/span-{SPAN}/*.jsonl."
        )
    return _spans_in(resolve_corpus(path, options))


def choose_spans(asked: str, there: Mapping[int, str]) -> tuple[int, ...]:
    """The spans that are meant, rising.

    Args:
      asked: ``latest``, ``latest:3`` for the newest three (or as many as there are), ``7``,
        or ``5-7``.

    Raises:
      CorpusInputError: it is none of these, or one is not there.
    """
    known = ", ".join(map(str, there)) or "none"
    if latest := _LATEST.fullmatch(asked):
        chosen = tuple(sorted(there)[-int(latest[1] or 1) :])
    elif numbers := _RANGE.fullmatch(asked):
        chosen = tuple(range(int(numbers[1]), int(numbers[2] or numbers[1]) + 1))
    else:
        raise CorpusInputError(
            f"--span expects latest, latest:3, 7 or 5-7. Received: {asked!r}. There are: "
            f"{known}."
        )
    missing = [span for span in chosen if span not in there]
    if missing or not chosen:
        raise CorpusInputError(
            f"The corpus has no span {', '.join(map(str, missing)) or asked}. "
            f"There are: {known}."
        )
    return chosen


def with_spans(
    corpus: CorpusInput, options: CorpusOptions, spans: Sequence[int]
) -> tuple[CorpusInput, CorpusOptions]:
    """A corpus, and options, that read the files of some spans and no others.

    Of one span TFX sees the files of that span only, so that a newer one does not make it
    read again; a pattern for several has to leave out the others when it is read.

    Raises:
      CorpusInputError: a span has no file.
    """
    there = _spans_in(corpus)
    for span in spans:
        choose_spans(str(span), there)
    digits = [there[span] for span in spans]
    splits = [
        example_gen_pb2.Input.Split(
            name=split.name,
            pattern=_SPAN.sub(digits[0] if len(digits) == 1 else "*", split.pattern),
        )
        for split in corpus.config.splits
    ]
    only = "|".join(
        _regex(corpus.base, split.pattern, "|".join(digits), f"span_{split.name}")
        for split in corpus.config.splits
    )
    return (
        CorpusInput(corpus.base, example_gen_pb2.Input(splits=splits)),
        replace(options, only=only if len(digits) > 1 else ""),
    )


def _spans_in(corpus: CorpusInput) -> dict[int, str]:
    found: dict[int, str] = {}
    for split in corpus.config.splits:
        regex = re.compile(_regex(corpus.base, split.pattern, r"\d+"))
        for path in list_files(corpus.base, _SPAN.sub("*", split.pattern)):
            if match := regex.fullmatch(path):
                found[int(match["span"])] = match["span"]
    return dict(sorted(found.items()))


def _regex(base: str, pattern: str, digits: str, group: str = "span") -> str:
    """What the paths of a pattern's files match; the group is the span's digits."""
    parts: list[str] = []
    end, seen = 0, False
    for match in _SPAN.finditer(pattern):
        parts.append(_glob_regex(pattern[end : match.start()]))
        width = rf"(?=\d{{{match[1]}}}(?!\d))" if match[1] else ""
        parts.append(f"(?P={group})" if seen else rf"{width}(?P<{group}>{digits})(?!\d)")
        end, seen = match.end(), True
    parts.append(_glob_regex(pattern[end:]))
    return re.escape(base.rstrip("/") + "/") + "".join(parts)


def _glob_regex(pattern: str) -> str:
    """A glob's text as a regular expression; character classes are alike in both."""
    pieces = re.split(r"([*?]|\[[^\]]*\])", pattern)
    return "".join(
        _WILD.get(piece, piece if piece.startswith("[") else re.escape(piece))
        for piece in pieces
    )
