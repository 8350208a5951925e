"""One docstring as text: its one-line summary, and the prose below it.

PEP 257: a summary line, a blank line, then a more elaborate description. What follows the
description in practice (``Args:``, ``Parameters``, ``:param x:``, doctests, code, tables,
directives) is not prose and is cut off or left out.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Final

MIN_SUMMARY_WORDS: Final = 3
MAX_SUMMARY_WORDS: Final = 30
MIN_DOCUMENT_WORDS: Final = 12
MAX_DOCUMENT_WORDS: Final = 800

_SECTION_NAMES: Final = (
    r"args?|arguments?|keyword arg(?:ument)?s?|keywords?|other parameters?|param(?:eter)?s?|"
    r"hyperparameters?|call arg(?:ument)?s?|inputs?|input shapes?|outputs?|output shapes?|"
    r"returns?|return values?|return type|yields?|receives?|raises?|exceptions?|except|throws|"
    r"warns?|warnings?|errors?|examples?|example usage|usage|usages|use|uses|notes?|"
    r"references?|reference|see also|attributes?|properties|methods?|members|fields?|"
    r"todos?|version ?(?:added|changed)|versions?|deprecated|deprecation|side effects?|"
    r"command[- ]?line|options?|functions?|classes|constants|exports?|history|authors?|"
    r"copyright|license|credits?|acknowledge?ments?|links?|tests?|doctests?|default values?|"
    r"supported (?:options|values)|shapes?|dimensions|bibliography|caveats?|tips?|"
    r"contents|table of contents|requires|requirements|pre-?conditions?|post-?conditions?"
)
_SECTION_HEADER: Final = re.compile(
    rf"^(?:[#*_ ]*)(?:{_SECTION_NAMES})(?:\s*\([^)]*\))?\s*(?::{{1,2}}[*_ ]*|[*_ ]*)$",
    re.IGNORECASE,
)
# "Note: text", "Returns: text" on one line: the section starts here.
_INLINE_SECTION: Final = re.compile(
    r"^(?:[#*_ ]*)(?:args?|arguments?|parameters?|params?|returns?|return value|yields?|"
    r"raises?|throws|examples?|usage|notes?|warnings?|references?|see also|todo|inputs?|"
    r"outputs?|attributes?|keyword arguments?|e\.g\.|version|author|copyright|license)"
    r"(?:\([^)]*\))?\s*[*_]*\s*(?::|--|–)[*_]*\s",
    re.IGNORECASE,
)
_UNDERLINE: Final = re.compile(r"^\s*([-=~^*#+\"'`_.])\1{2,}\s*$")
_FIELD: Final = re.compile(r"^\s*[:@](?:[a-zA-Z_]+)(?:\s+[^:]*)?:?(?:\s|$)")
_ROLE_START: Final = re.compile(r"^\s*:[a-zA-Z:+-]+:`")
_DOCTEST: Final = re.compile(r"^\s*(?:>>>|\.\.\.\s|In \[\d+\]:|\$ )")
_DIRECTIVE: Final = re.compile(r"^\s*\.\.(?:\s|$)")
_FENCE: Final = re.compile(r"^\s*(?:```|~~~)")
_BULLET: Final = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+\S")
_TABLE: Final = re.compile(r"^\s*(?:\||\+[-=+]{3,}|={2,}(?:\s+={2,})+|-{2,}(?:\s+-{2,})+)")
_DEFINITION: Final = re.compile(
    r"^\s*[`*\w.\[\],=()<>\"'-]{1,60}(?:\s*\([^)]*\))?\s*(?:::?|--|–)(?:\s|$)"
)
_CODE_SIGN: Final = re.compile(
    r"(?:^\s*(?:def|class|import|from|return|for|if|with|@\w)\b.*[:(]\s*$|"
    r"^\s*[\w.\[\]]+ ?=[^=].*|^\s*[\w.]+\([^)]*\)\s*$|;\s*$|^\s*[{}\[\])]+,?\s*$)"
)
_RST_ROLE: Final = re.compile(
    r":(?:[a-zA-Z]+:)*[a-zA-Z]+:`(?:~(?:[\w.]*\.)?)?([^`<]+?)(?:\s*<[^`>]*>)?`"
)
_RST_LINK: Final = re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{1,2}")
_MD_LINK: Final = re.compile(r"\[([^\]]+)\]\((?:[^()]|\([^)]*\))*\)")
_CITATION: Final = re.compile(r"\s*\[(?:#?\w{0,12}\d+\w?|\*)\]_?")
_BACKTICKS: Final = re.compile(r"`+([^`]*)`+_{0,2}")
_STRONG: Final = re.compile(r"(?<![\w*])\*{1,2}([^\s*](?:[^*]*[^\s*])?)\*{1,2}(?![\w*])")
_SPACE: Final = re.compile(r"\s+")
_LETTERS: Final = re.compile(r"[^\W\d_]")
_BOILERPLATE: Final = re.compile(
    r"^(?:see (?:the )?(?:base|parent|super)?\s*class|see `|overrid(?:es?|den)|inherited|"
    r"(?:re)?initiali[sz]es? (?:self|the (?:instance|object))|constructor\b|helper for\b|"
    r"deprecated\b|this module is deprecated|for internal use|private\b|todo\b|copyright\b|"
    r"licensed under\b)",
    re.IGNORECASE,
)
_LICENCE: Final = re.compile(
    r"permission is hereby granted|redistribution and use in source|licensed under the "
    r"|all rights reserved|warranties of merchantability",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DocstringPair:
    """A docstring's description and its one-line summary, white space normalised."""

    document: str
    summary: str


class UnusableDocstringError(ValueError):
    """The docstring has no usable pair. ``reason`` is a short key for counting."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def split_docstring(docstring: str) -> DocstringPair:
    """Split a raw docstring into its description and its one-line summary.

    Args:
      docstring: as written in the source, indentation included.

    Returns:
      Both texts on one line each, reStructuredText and Markdown marks removed.

    Raises:
      UnusableDocstringError: there is no one-line summary, no prose below it, or one of
        them is too short, too long or boilerplate.
    """
    # Tabs and form feeds are layout; a NUL or another control character is no text.
    lines = inspect.cleandoc(docstring).splitlines()
    if len(lines) < 3:
        raise UnusableDocstringError("summary only")
    if lines[1].strip():
        raise UnusableDocstringError("summary longer than one line")
    summary = plain_text(lines[0])
    _check_summary(lines[0], summary)
    document = plain_text(" ".join(_prose_paragraphs(lines[2:])))
    if summary[-1].isalnum() and document[:1].islower():
        raise UnusableDocstringError("summary goes on below")
    words = len(document.split())
    if words == 0:
        raise UnusableDocstringError("no prose below the summary")
    if words < MIN_DOCUMENT_WORDS:
        raise UnusableDocstringError("document too short")
    if words > MAX_DOCUMENT_WORDS:
        raise UnusableDocstringError("document too long")
    if _LICENCE.search(document):
        raise UnusableDocstringError("licence text")
    if not _mostly_letters(document):
        raise UnusableDocstringError("document is not prose")
    return DocstringPair(document=document, summary=summary)


def plain_text(text: str) -> str:
    """Text without inline markup, on one line, white space normalised."""
    text = _RST_ROLE.sub(r"\1", text)
    text = _RST_LINK.sub(r"\1", text)
    text = _MD_LINK.sub(r"\1", text)
    text = _CITATION.sub("", text)
    text = _BACKTICKS.sub(r"\1", text)
    text = _STRONG.sub(r"\1", text)
    text = text.replace("\\\\", "\\").replace("\x00", "")
    return _SPACE.sub(" ", text).strip()


def _check_summary(line: str, summary: str) -> None:
    words = len(summary.split())
    if words < MIN_SUMMARY_WORDS:
        raise UnusableDocstringError("summary too short")
    if words > MAX_SUMMARY_WORDS:
        raise UnusableDocstringError("summary too long")
    if (
        _starts_section(line)
        or _DOCTEST.match(line)
        or _DIRECTIVE.match(line)
        or _BULLET.match(line)
        or _TABLE.match(line)
        or summary.endswith((":", ",", "("))
        or not _mostly_letters(summary)
    ):
        raise UnusableDocstringError("summary is not a sentence")
    if _BOILERPLATE.match(summary):
        raise UnusableDocstringError("boilerplate summary")


def _mostly_letters(text: str) -> bool:
    return len(_LETTERS.findall(text)) >= 0.6 * len(text.replace(" ", ""))


def _starts_section(line: str) -> bool:
    if _FIELD.match(line) and not _ROLE_START.match(line):
        return True
    text = line.strip()
    return bool(_SECTION_HEADER.match(text) or _INLINE_SECTION.match(text + " "))


def _prose_paragraphs(lines: list[str]) -> list[str]:
    """The paragraphs of prose up to the first section; blocks of other kinds left out."""
    prose: list[str] = []
    for paragraph in _paragraphs(lines):
        cut = _first_section_line(paragraph)
        kept = paragraph[:cut]
        if kept:
            if _is_prose(kept):
                prose.append(" ".join(line.strip() for line in kept))
            elif prose:
                # What announced the block that is left out ("as follows:") goes with it.
                prose[-1] = _without_announcement(prose[-1])
        if cut < len(paragraph):
            break
    if prose:
        prose[-1] = _without_announcement(prose[-1])
    return [text for text in prose if text]


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Runs of lines between blank ones; a fenced block is a run of its own."""
    found: list[list[str]] = [[]]
    fenced = False
    for line in lines:
        if _FENCE.match(line):
            if not fenced:
                found.append([])
            found[-1].append(line)
            if fenced:
                found.append([])
            fenced = not fenced
        elif fenced or line.strip():
            found[-1].append(line)
        else:
            found.append([])
    return [paragraph for paragraph in found if paragraph]


def _first_section_line(paragraph: list[str]) -> int:
    """Index of the line that begins a section, or the paragraph's length."""
    for index, line in enumerate(paragraph):
        if _FENCE.match(line):
            return len(paragraph)
        if _starts_section(line) or _DOCTEST.match(line) or _DIRECTIVE.match(line):
            return index
        following = paragraph[index + 1] if index + 1 < len(paragraph) else ""
        if _UNDERLINE.match(following) and not _TABLE.match(following):
            return index
        if line.startswith("#"):
            return index
    return len(paragraph)


def _is_prose(paragraph: list[str]) -> bool:
    first = paragraph[0]
    if first.startswith((" ", "\t")) or _FENCE.match(first) or _UNDERLINE.match(first):
        return False
    if any(_TABLE.match(line) or _BULLET.match(line) for line in paragraph):
        return False
    if _DEFINITION.match(first) and len(paragraph) > 1 and paragraph[1].startswith(" "):
        return False
    code_lines = sum(bool(_CODE_SIGN.search(line)) for line in paragraph)
    return 2 * code_lines < len(paragraph) or (code_lines == 0)


def _without_announcement(text: str) -> str:
    """Text without a last sentence that ends in a colon."""
    if not text.rstrip().endswith(":"):
        return text
    sentences = re.split(r"(?<=[.!?])\s+", text.rstrip())
    return " ".join(sentences[:-1])
