"""Converts a run's parameter to the requested spans."""

from __future__ import annotations

import datetime
import re
from typing import Final

from components.corpus_example_gen.options import CorpusInputError
from components.corpus_example_gen.spans import LATEST

# As Kubeflow fills in [[ScheduledTime]] (UTC).
_SCHEDULED: Final = re.compile(r"(\d{4})(\d\d)(\d\d)\d{6}")
_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_OTHERS: Final = re.compile(rf"{LATEST}(:[1-9]\d*)?|\d{{1,9}}(-\d{{1,9}})?")


def asked_span(span: str) -> str:
    """Convert a run's parameter to what `components.corpus_example_gen.spans.choose_spans`
    takes.

    Args:
      span: a number, or a range as `5-7`; a day, as `2026-01-31` or as `20260131030000` (the
        time of a schedule, of which the day counts); `latest`, or nothing, for the newest;
        `latest:3` for the newest three.

    Raises:
      CorpusInputError: it is none of these.
    """
    text = span.strip() or LATEST
    if match := _SCHEDULED.fullmatch(text) or _DAY.fullmatch(text):
        try:
            return datetime.date(*map(int, match.groups())).isoformat()
        except ValueError:  # no such day
            pass
    elif _OTHERS.fullmatch(text):
        return text
    raise CorpusInputError(
        "The span cannot be read. Expected: a number, a range such as 5-7, a day such as "
        "2026-01-31, the time of a schedule such as 20260131030000, latest, or latest:3 for "
        f"the newest three. Received: {span!r}"
    )
