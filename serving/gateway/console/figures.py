"""What a gateway has counted since it began, for people; and numbers as texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serving.gateway.ops.metrics import Metrics

_DURATION: Final = "gen_ai_server_request_duration_seconds"
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Live:
    """Requests to models that this gateway has completed since it began.

    Attributes:
      failed: of the requests, those that got an error.
      mean_s: of all; None where there was none.
      p95_s: 95 in 100 took at most so long, by the histogram's bounds; None as `mean_s`, or
        where it is above the last bound.
      errors: error responses by their code, the most frequent first.
      under_way: requests that have arrived and are not completed.
    """

    requests: int
    failed: int
    mean_s: float | None
    p95_s: float | None
    errors: tuple[tuple[str, int], ...]
    under_way: int


def live_figures(metrics: Metrics) -> Live:
    """Read them; no database is asked."""
    requests = failed = 0
    seconds = 0.0
    below = Counter[float]()
    for sample in metrics.samples(
        f"{_DURATION}_count", f"{_DURATION}_sum", f"{_DURATION}_bucket"
    ):
        if sample.name.endswith("_count"):
            requests += int(sample.value)
            failed += int(sample.value) if sample.labels["error_type"] else 0
        elif sample.name.endswith("_sum"):
            seconds += sample.value
        else:
            below[float(sample.labels["le"])] += int(sample.value)
    bound = next(
        (each for each in sorted(below) if below[each] * 100 >= 95 * requests), math.inf
    )
    errors = {
        sample.labels["code"]: int(sample.value)
        for sample in metrics.samples("tallygraph_errors_total")
        if sample.value
    }
    return Live(
        requests=requests,
        failed=failed,
        mean_s=seconds / requests if requests else None,
        p95_s=bound if requests and bound < math.inf else None,
        errors=tuple(sorted(errors.items(), key=lambda each: (-each[1], each[0]))),
        under_way=int(next(metrics.samples("tallygraph_requests_under_way")).value),
    )


def money_in(decimals: int) -> Callable[[int], str]:
    """How amounts in millionths are shown: with a currency's decimals, or more if needed."""

    def shown(amount_micro: int) -> str:
        whole, rest = divmod(abs(amount_micro), _MICRO)
        digits = f"{rest:06d}".rstrip("0").ljust(decimals, "0")
        sign = "-" if amount_micro < 0 else ""
        return f"{sign}{whole:,}" + (f".{digits}" if digits else "")

    return shown
