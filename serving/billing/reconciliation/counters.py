"""TensorFlow Serving's request counters, from its Prometheus page, before and after.

``:tensorflow:serving:request_count`` counts by model and status: predict requests of any
signature (including counting tokens), and over REST also requests for a model's status and
metadata, which a gateway sends all the time. ``:tensorflow:serving:request_latency`` has the
answered requests by their API, so a page that has both shows how many were predictions. Both
start at 0 with the server's process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

METRIC: Final = ":tensorflow:serving:request_count"
LATENCIES: Final = ":tensorflow:serving:request_latency_count"
OK: Final = "OK"
PREDICTED: Final = "answered predictions"
"""Key beside the statuses, if the page has this count."""

MAX_PAGE_BYTES: Final = 32 * 1024 * 1024
TIMEOUT_S: Final = 10.0

RequestCounts = Counter[tuple[str, str]]
"""By model and status, or `PREDICTED`."""


class CountersError(ValueError):
    """A page cannot be read or compared; the message says what to do."""


def read_page(place: str) -> RequestCounts:
    """Read the counters of a page.

    Args:
      place: a file, or the http(s) URL of the page.

    Raises:
      CountersError: it cannot be reached, or is not such a page.
    """
    try:
        text = _fetched(place) if place.startswith(("http://", "https://")) else _read(place)
        counts = RequestCounts()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = sample.labels
                # The parser gives a counter the ending that others' counters have.
                if sample.name.removesuffix("_total") == METRIC:
                    counts[labels["model_name"], labels["status"]] += int(sample.value)
                elif sample.name == LATENCIES:
                    of_predict = labels["API"].lower() == "predict"
                    key = (labels["model_name"], PREDICTED)
                    counts[key] += int(sample.value) if of_predict else 0
    except (OSError, httpx.HTTPError, ValueError, KeyError) as error:
        raise CountersError(
            f"Cannot read the counters of {place}: {type(error).__name__}: {error}. "
            "Expected: the Prometheus page of a TensorFlow Serving with monitoring enabled."
        ) from None
    return counts


def counted(
    before: Sequence[str], after: Sequence[str], models: Collection[str] = ()
) -> RequestCounts:
    """Return what several servers have answered between two times.

    Args:
      models: count only these; none: all.
      before, after: pages, one of each for each server's process, in the same order. For a
        server that was started in between, give an empty text as the page before.

    Raises:
      CountersError: a page cannot be read, or a server was restarted in between.
    """
    if len(before) != len(after):
        raise CountersError(
            "Each server needs a page from before and one from after. Received: "
            f"{len(before)} before, {len(after)} after. Use an empty value for a server "
            "that was not running yet."
        )
    total = RequestCounts()
    for first, last in zip(before, after, strict=True):
        begun = read_page(first) if first else RequestCounts()
        ended = read_page(last)
        for key in {*begun, *ended}:
            if models and key[0] not in models:
                continue
            if ended[key] < begun[key]:
                raise CountersError(
                    f"{last} has counted {ended[key]} requests of {key[0]} ({key[1]}), but "
                    f"{first}, before it, {begun[key]}: the server was restarted in "
                    "between. Compare each of its runs separately, with a page from the "
                    "end of each."
                )
            total[key] += ended[key] - begun[key]
    return total


def answered(requests: RequestCounts, model: str) -> int:
    """Return the number of answered predictions, as exactly as the pages show it."""
    key = (model, PREDICTED)
    return requests[key] if key in requests else requests[model, OK]


def _read(path: str) -> str:
    data = Path(path).read_bytes()
    if len(data) > MAX_PAGE_BYTES:
        raise ValueError(f"it has more than {MAX_PAGE_BYTES} bytes")
    return data.decode()


def _fetched(url: str) -> str:
    data = bytearray()
    with httpx.stream("GET", url, timeout=TIMEOUT_S, trust_env=False) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            data += piece
            if len(data) > MAX_PAGE_BYTES:
                raise ValueError(f"it has more than {MAX_PAGE_BYTES} bytes")
    return data.decode()
