"""Which span of a corpus a run reads, as a run's parameter says it."""

from __future__ import annotations

import datetime
import re
from typing import Final

from tfx.proto import range_config_pb2

from components.corpus_example_gen.options import CorpusInputError
from components.corpus_example_gen.spans import LATEST

# As Kubeflow fills in [[ScheduledTime]] (UTC), and as a person writes a day.
_SCHEDULED: Final = re.compile(r"(\d{4})(\d\d)(\d\d)\d{6}")
_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_NUMBER: Final = re.compile(r"\d{1,9}")
_EPOCH: Final = datetime.date(1970, 1, 1)


def span_range(span: str) -> range_config_pb2.RangeConfig | None:
    """TFX's range for a span.

    Args:
      span: a number; or a day, as `2026-01-31` or as `20260131030000` (the time of a
        schedule, of which the day counts), which is the number of days since 1970-01-01, as
        TFX counts `{YYYY}`, `{MM}`, `{DD}`. `latest`, or nothing, takes the newest.

    Returns:
      None for the newest.

    Raises:
      CorpusInputError: it is none of these.
    """
    text = span.strip()
    if text in ("", LATEST):
        return None
    number = _number(text)
    if number is None:
        raise CorpusInputError(
            "The span cannot be read. Expected: a number, a day such as 2026-01-31, the time "
            "of a schedule such as 20260131030000, or latest. Received: "
            f"{span!r}"
        )
    return range_config_pb2.RangeConfig(
        static_range=range_config_pb2.StaticRange(
            start_span_number=number, end_span_number=number
        )
    )


def _number(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        return int(text)
    match = _SCHEDULED.fullmatch(text) or _DAY.fullmatch(text)
    if match is None:
        return None
    try:
        return (datetime.date(*map(int, match.groups())) - _EPOCH).days
    except ValueError:  # no such day
        return None
