"""Checks of input counts, which need no decoding: cheap, so there can be many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.meter_validator.check import Check
from components.meter_validator.metered_subject import MeteredSubject, Row
from components.meter_validator.reference import ReferenceCounts
from components.meter_validator.texts import NamedText, texts_around_limit
from tokenizer import contract


def expected_counts(total: int, max_input_tokens: int) -> dict[str, int]:
    """Return both input counts of a text for which the reference gives `total` ids."""
    read = min(total, max_input_tokens)
    return {contract.INPUT_TOKENS: read, contract.TRUNCATED_TOKENS: total - read}


def input_counts(row: Row) -> dict[str, int]:
    """Return the input counts of an output's row."""
    return {name: row[name] for name in contract.COUNT_OUTPUTS}


def check_counts(
    subject: MeteredSubject,
    texts: Sequence[NamedText],
    totals: Mapping[str, int],
    max_input_tokens: int,
    check: Check,
) -> None:
    """Compare `count_tokens` with the tokenizer's own library.

    Args:
      subject: the model.
      texts: the texts to count.
      totals: the library's number of ids, by name of the text.
      max_input_tokens: of the model.
      check: takes the findings.
    """
    with check.answered(f"counting {len(texts)} texts"):
        rows = subject.count([item.text for item in texts])
        for item, row in zip(texts, rows, strict=True):
            expected = expected_counts(totals[item.name], max_input_tokens)
            check.equal(_label(item), expected, input_counts(row))


def found_around_limit(
    words: Sequence[str], reference: ReferenceCounts, max_input_tokens: int, check: Check
) -> list[NamedText]:
    """Return texts with one id less than the limit, exactly the limit, and one id more.

    A text that cannot be found is a mismatch, because the limit would not be tested.
    """
    found = []
    for tokens, item in texts_around_limit(max_input_tokens, words, reference):
        if item is None:
            check.that(f"text of {tokens} ids", False, "found among real words", "none")
        else:
            found.append(item)
    return found


def _label(item: NamedText) -> str:
    return f"{item.name}: {item.text[:80]!r}{'…' if len(item.text) > 80 else ''}"
