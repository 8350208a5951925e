"""Spans of a corpus: which exist, which are requested, and the files of these.

A span is a number if the corpus's path has ``{SPAN}``, or ``{SPAN:2}`` for numbers with two
digits. If the path has ``{YYYY}``, ``{MM}`` and ``{DD}``, a span is a day, and its number is
the number of days since 1970-01-01, as TFX counts.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tfx.proto import example_gen_pb2

from components.corpus_example_gen.corpus_path import CorpusInput, resolve_corpus
from components.corpus_example_gen.files import choose_files, list_files
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions

LATEST: Final = "latest"

_SPAN: Final = "SPAN"
_VERSION: Final = "VERSION"
_DATE: Final = ("YYYY", "MM", "DD")
_DATE_DIGITS: Final = {"YYYY": 4, "MM": 2, "DD": 2}
_FIELD: Final = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
_LATEST: Final = re.compile(rf"{LATEST}(?::([1-9]\d*))?")
_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_WILD: Final = {"*": "[^/]*", "?": "[^/]"}
_EPOCH: Final = datetime.date(1970, 1, 1)


def has_spans(path: str) -> bool:
    """Return whether a corpus has spans, according to its path."""
    fields = _fields(path)
    return _SPAN in fields or fields.issuperset(_DATE)


def spans_of(path: str, options: CorpusOptions) -> dict[int, str]:
    """Return the spans for which a corpus has files, in ascending order.

    Args:
      path: as described in this module's docstring; ``{VERSION}`` in it matches any version.

    Returns:
      for each number, the digits of the span as in file names, or its day as ``2026-01-31``.

    Raises:
      CorpusInputError: it has no spans, or no file that can be read.
    """
    if not has_spans(path):
        raise CorpusInputError(
            f"The corpus {path} has no spans. Expected: {{SPAN}} in place of their numbers, as "
            "in articles/span-{SPAN}/*.jsonl, or {YYYY}, {MM} and {DD} in place of their days."
        )
    return _spans_in(resolve_corpus(path, options), options)


def choose_spans(asked: str, there: Mapping[int, str]) -> tuple[int, ...]:
    """Return the requested spans, in ascending order.

    Args:
      asked: ``latest``, ``latest:3`` for the newest three (or as many as there are), ``7``,
        ``5-7``, or a day as ``2026-01-31``.

    Raises:
      CorpusInputError: it is none of these, or a span does not exist.
    """
    known = ", ".join(there.values()) or "none"
    if latest := _LATEST.fullmatch(asked):
        chosen = tuple(sorted(there)[-int(latest[1] or 1) :])
    elif numbers := _RANGE.fullmatch(asked):
        chosen = tuple(range(int(numbers[1]), int(numbers[2] or numbers[1]) + 1))
    elif _DAY.fullmatch(asked) and (number := _day_number(asked)) is not None:
        chosen = (number,)
    else:
        raise CorpusInputError(
            "--span expects latest, latest:3, 7, 5-7 or a day such as 2026-01-31. "
            f"Received: {asked!r}. Available spans: {known}."
        )
    missing = [span for span in chosen if span not in there]
    if missing or not chosen:
        named = asked if len(chosen) < 2 else ", ".join(map(str, missing))
        raise CorpusInputError(f"The corpus has no span {named}. Available spans: {known}.")
    return chosen


def with_spans(
    corpus: CorpusInput, options: CorpusOptions, spans: Sequence[int]
) -> tuple[CorpusInput, CorpusOptions]:
    """Return a corpus and options that read only the files of the given spans.

    For a single span, TFX sees only the files of that span, so a newer one does not make it
    read again; a pattern for several spans has to leave out the others when it is read.

    Raises:
      CorpusInputError: a span has no file, or the corpus has versions, whose newest this
        function cannot determine.
    """
    patterns = {split.name: split.pattern for split in corpus.config.splits}
    if any(_VERSION in _fields(pattern) for pattern in patterns.values()):
        raise CorpusInputError(
            "Spans of a corpus with {VERSION} in its path cannot be chosen or compared. "
            "Expected: a corpus without versions, or no --span. Received: "
            + ", ".join(patterns.values())
        )
    there = _spans_in(corpus, options)
    for span in spans:
        choose_spans(str(span), there)
    chosen = [there[span] for span in spans]
    one = _texts(chosen[0]) if len(chosen) == 1 else None
    splits = [
        example_gen_pb2.Input.Split(
            name=name, pattern=_FIELD.sub(lambda field: one[field[1]] if one else "*", pattern)
        )
        for name, pattern in patterns.items()
    ]
    only = "|".join(
        _regex(corpus.base, pattern, _written(_texts(span)))
        for pattern in patterns.values()
        for span in chosen
    )
    return (
        CorpusInput(corpus.base, example_gen_pb2.Input(splits=splits)),
        replace(options, only="" if one else only),
    )


def _spans_in(corpus: CorpusInput, options: CorpusOptions) -> dict[int, str]:
    """The spans that a file can be read of; hidden files are none."""
    found: dict[int, str] = {}
    for split in corpus.config.splits:
        regex = re.compile(_regex(corpus.base, split.pattern, _any_span()))
        paths = list_files(corpus.base, _FIELD.sub("*", split.pattern))
        for file in choose_files(paths, corpus.base, options)[0]:
            if match := regex.fullmatch(file.path):
                texts = match.groupdict()
                if _SPAN in texts:
                    number: int | None = int(texts[_SPAN])
                    written = texts[_SPAN]
                else:
                    written = _as_day(texts)
                    number = _day_number(written)
                if number is not None and found.setdefault(number, written) != written:
                    raise CorpusInputError(
                        f"Two names in {corpus.base} mean span {number}: {found[number]} and "
                        f"{written}. Expected one name for each span. Rename or move one of "
                        "them, or say how many digits a span has, as in {SPAN:2}."
                    )
    return dict(sorted(found.items()))


def _fields(pattern: str) -> set[str]:
    return {match[1] for match in _FIELD.finditer(pattern)}


def _as_day(texts: Mapping[str, str]) -> str:
    return "-".join(texts[field] for field in _DATE)


def _day_number(day: str) -> int | None:
    try:
        return (datetime.date.fromisoformat(day) - _EPOCH).days
    except ValueError:  # no such day
        return None


def _texts(written: str) -> dict[str, str]:
    """What stands for each field in the names of a span's files."""
    if not _DAY.fullmatch(written):
        return {_SPAN: written}
    return dict(zip(_DATE, written.split("-"), strict=True))


def _any_span() -> Callable[[re.Match[str]], str]:
    seen: set[str] = set()

    def of_field(match: re.Match[str]) -> str:
        field, digits = match[1], match[2]
        if field == _VERSION:
            return r"\d+"
        if field in seen:
            return f"(?P={field})" + (r"(?!\d)" if field == _SPAN else "")
        seen.add(field)
        if field in _DATE_DIGITS:
            return rf"(?P<{field}>\d{{{_DATE_DIGITS[field]}}})"
        width = rf"(?=\d{{{digits}}}(?!\d))" if digits else ""
        return rf"{width}(?P<{field}>\d+)(?!\d)"

    return of_field


def _written(texts: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def of_field(match: re.Match[str]) -> str:
        return re.escape(texts[match[1]]) + (r"(?!\d)" if match[1] == _SPAN else "")

    return of_field


def _regex(base: str, pattern: str, of_field: Callable[[re.Match[str]], str]) -> str:
    """What the paths of a pattern's files match, each field as `of_field` has it."""
    parts: list[str] = []
    end = 0
    for match in _FIELD.finditer(pattern):
        parts += [_glob_regex(pattern[end : match.start()]), of_field(match)]
        end = match.end()
    parts.append(_glob_regex(pattern[end:]))
    return re.escape(base.rstrip("/") + "/") + "".join(parts)


def _glob_regex(pattern: str) -> str:
    """A glob's text as a regular expression."""
    pieces = re.split(r"([*?]|\[!?\]?[^\]]*\])", pattern)
    return "".join(_WILD.get(piece) or _piece_regex(piece) for piece in pieces)


def _piece_regex(piece: str) -> str:
    if not (piece.startswith("[") and len(piece) > 1):
        return re.escape(piece)
    negated = piece.startswith("[!")
    members = piece[2 if negated else 1 : -1].replace("\\", r"\\").replace("[", r"\[")
    return f"[{'^' if negated else ''}{members}]"
