"""TensorFlow Serving's request counters, from its Prometheus page, before and after.

``:tensorflow:serving:request_count`` counts by model and status: predict requests of any
signature (including counting tokens), and over REST also requests for a model's status and
metadata, which a gateway sends all the time. ``:tensorflow:serving:request_latency`` has the
answered requests by their API, so a page that has both shows how many were predictions. Both
start at 0 with the server's process.

Requests that only counted tokens are predictions, and not billed. The gateways' own pages say
how many they sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

METRIC: Final = ":tensorflow:serving:request_count"
LATENCIES: Final = ":tensorflow:serving:request_latency_count"
OK: Final = "OK"
PREDICTED: Final = "answered predictions"
"""Key beside the statuses, if the page has this count."""

GATEWAY_CALLS: Final = "gen_ai_client_operation_duration_seconds_count"
"""On a gateway's page: requests to a model server, by operation, model and error."""
COUNT_TOKENS: Final = "count_tokens"

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
    counts = RequestCounts()
    try:
        for name, labels, value in _samples(place):
            # The parser gives a counter the ending that others' counters have.
            if name.removesuffix("_total") == METRIC:
                counts[labels["model_name"], labels["status"]] += int(value)
            elif name == LATENCIES:
                of_predict = labels["API"].lower() == "predict"
                counts[labels["model_name"], PREDICTED] += int(value) if of_predict else 0
    except (OSError, httpx.HTTPError, ValueError, KeyError) as error:
        raise CountersError(
            f"Cannot read the counters of {place}: {type(error).__name__}: {error}. "
            "Expected: the Prometheus page of a TensorFlow Serving with monitoring enabled."
        ) from None
    return counts


def read_gateway_page(place: str) -> RequestCounts:
    """Read how many answered requests of a gateway only counted tokens.

    Args:
      place: a file, or the http(s) URL of the gateway's metrics.

    Raises:
      CountersError: it cannot be reached, or is not such a page.
    """
    counts = RequestCounts()
    try:
        for name, labels, value in _samples(place):
            if (
                name == GATEWAY_CALLS
                and labels["gen_ai_operation_name"] == COUNT_TOKENS
                and not labels["error_type"]
            ):
                counts[labels["gen_ai_request_model"], COUNT_TOKENS] += int(value)
    except (OSError, httpx.HTTPError, ValueError, KeyError) as error:
        raise CountersError(
            f"Cannot read the counters of {place}: {type(error).__name__}: {error}. "
            "Expected: the Prometheus page of a gateway, such as "
            "http://127.0.0.1:8601/metrics."
        ) from None
    return counts


def counted(
    before: Sequence[str],
    after: Sequence[str],
    models: Collection[str] = (),
    read: Callable[[str], RequestCounts] = read_page,
) -> RequestCounts:
    """Return what several servers have answered between two times.

    Args:
      models: count only these; none: all.
      read: reads a page of such a server; `read_gateway_page` for gateways.
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
        begun = read(first) if first else RequestCounts()
        ended = read(last)
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


def _samples(place: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Name, labels and value of each sample of a page."""
    text = _fetched(place) if place.startswith(("http://", "https://")) else _read(place)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


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
