"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks import markdown
from benchmarks.gateway.results import BASE, LITELLM, SATURATED, Measured, Point, Results
from benchmarks.timings import median_with_range

TARGET_ADDED_MS = 3.0
TARGET_TIMES = 5.0

_HEAD = """# Gateway

What Tallygraph's gateway adds to a request's latency, and how many requests it handles per
second, compared with calling the model server directly and with LiteLLM's proxy, in one run on
one backend.

**The backend is a stub**: no model computes. It responds at once, or after a fixed time, with
the text's first words and the number of its words as counts, over TensorFlow Serving's REST API
(which Tallygraph's gateway uses) and over OpenAI's (which LiteLLM uses). So the figures show
only the cost of the gateways themselves, and nothing of a model's.

**What each does for a request**, both as one process with one worker:

- *Tallygraph*: checks the key, model, body, limits; reserves the most that the request can
  cost against the tenant's budget; calls the backend; writes the charge for what was counted,
  together with the response, to a hash-chained ledger; and responds only when all of it is on
  disk (SQLite in WAL mode with `synchronous = FULL`, except for the reservation's own commit,
  which the commit of the charge brings to disk, too; PostgreSQL with its defaults of `fsync`
  and `synchronous_commit`, both on, for both commits). It logs one line for each request.
- *LiteLLM*: checks its one master key, routes, calls the backend, computes a cost in memory.
  **It runs without a database**: the engine of its database client could not be downloaded
  where this was measured. So it has no virtual keys, no budgets and no spend log, and writes
  nothing to disk. That is in its favour. It runs with `LITELLM_MODE=PRODUCTION`, logs only
  errors, and has no callbacks.

**How it is measured.** The clients are in a separate process, on asyncio: each keeps its own
connection open, and requests the next chat completion as soon as it has a response; texts have
20 to 200 words. All servers run at the same time and take turns; the order rotates by one from
round to round. It is checked that all ways give the same responses, and afterwards that each
ledger has as many charges as there were requests, and a chain without findings. Clients, stub
and gateways share the machine's cores, so processor time is read for each gateway's own process
(the system counts it in steps of 10 ms): requests per second and core are 1 / (processor
seconds per request).
"""


def render(results: Results, *, command: str) -> str:
    """The page, in Markdown.

    Args:
      command: that measures again.
    """
    few = [point for point in results.points if point.clients < SATURATED]
    many = [point for point in results.points if point.clients >= SATURATED]
    turns = max(len(each.rates) for ways in results.points.values() for each in ways.values())
    return "\n".join(
        [
            _HEAD,
            "## Added latency\n",
            _latency(results, few),
            "## Throughput\n",
            _throughput(results, many),
            "## Targets\n",
            _targets(results),
            f"Medians of {turns} turns (least-most). {results.versions}. {results.machine}. "
            f"Other processes took at most {results.busy:.0%} of the cores' time at any "
            "point.\n",
            f"To measure again: `{command}`.\n",
        ]
    )


def _latency(results: Results, points: Sequence[Point]) -> str:
    header = [
        *("clients", "backend's time, ms", "way", "p50, ms", "p99, ms"),
        *("added p50, ms", "added p99, ms"),
    ]
    rows = []
    for point in points:
        for name, each in results.points[point].items():
            row: list[object] = [point.clients, f"{point.delay_ms:g}", name]
            row += [median_with_range(each.p50s_ms, digits=2)]
            row += [median_with_range(each.p99s_ms, digits=2)]
            base = results.points[point].get(BASE.get(name, ""))
            row += ["", ""] if base is None else list(_added(each, base))
            rows.append(row)
    return (
        "Compared with calling the stub directly in the same round, over the API that the "
        "gateway uses to call it.\n\n" + markdown.table(header, rows)
    )


def _added(each: Measured, base: Measured) -> tuple[str, str]:
    p50 = [one - other for one, other in zip(each.p50s_ms, base.p50s_ms, strict=True)]
    p99 = [one - other for one, other in zip(each.p99s_ms, base.p99s_ms, strict=True)]
    return median_with_range(p50, digits=2), median_with_range(p99, digits=2)


def _throughput(results: Results, points: Sequence[Point]) -> str:
    header = [
        *("clients", "backend's time, ms", "way", "requests/s", "p50, ms", "p99, ms"),
        *("clients' CPU ms", "CPU ms a request", "of the database"),
        *("requests/s and core", "times LiteLLM's"),
    ]
    rows = []
    for point in points:
        ways = results.points[point]
        for name, each in ways.items():
            row: list[object] = [point.clients, f"{point.delay_ms:g}", name]
            row += [median_with_range(each.rates)]
            row += [f"{median(each.p50s_ms):.1f}", f"{median(each.p99s_ms):.1f}"]
            row += [f"{median(each.client_ms):.3f}"]
            if not each.cpu_ms:
                rows.append([*row, "", "", "", ""])
                continue
            row += [median_with_range(each.cpu_ms, digits=2)]
            row += [f"{median(each.database_ms):.2f}" if each.database_ms else ""]
            row += [f"{1e3 / median(each.cpu_ms):,.0f}"]
            peer = ways.get(LITELLM)
            row += ["" if peer is None or name == LITELLM else _times(each, peer)]
            rows.append(row)
    return (
        "The last column gives two ratios: of requests per second and core, and of "
        "requests per second. The slower a way is, the fewer requests it handles in a "
        "turn, and the more its rate varies: the ratio by core is the more stable one.\n\n"
        + markdown.table(header, rows)
    )


def _times(each: Measured, peer: Measured) -> str:
    return f"{_by_core(each, peer):.1f}, {_by_rate(each, peer):.1f}"


def _by_core(each: Measured, peer: Measured) -> float:
    return median(b / a for a, b in zip(each.cpu_ms, peer.cpu_ms, strict=True))


def _by_rate(each: Measured, peer: Measured) -> float:
    return median(a / b for a, b in zip(each.rates, peer.rates, strict=True))


def _targets(results: Results) -> str:
    """Sentences that say whether each target is reached, with the figures."""
    lines = []
    for point, ways in results.points.items():
        where = f"{point.clients} client{'s' * (point.clients > 1)}, {point.delay_ms:g} ms"
        for name, each in ways.items():
            base = ways.get(BASE.get(name, ""))
            if name == LITELLM or base is None:
                continue
            if point.clients < SATURATED:
                added = median(
                    one - other for one, other in zip(each.p50s_ms, base.p50s_ms, strict=True)
                )
                lines.append(
                    f"- {where}, {name}: {added:.2f} ms added at the median; under "
                    f"{TARGET_ADDED_MS:g} ms: {_reached(added < TARGET_ADDED_MS)}"
                )
            elif (peer := ways.get(LITELLM)) is not None:
                rate, core = _by_rate(each, peer), _by_core(each, peer)
                lines.append(
                    f"- {where}, {name}: {rate:.1f} times LiteLLM's requests a second "
                    f"({core:.1f} times by core); both at least {TARGET_TIMES:g} times: "
                    f"{_reached(min(rate, core) >= TARGET_TIMES)}"
                )
    return "\n".join(lines) + "\n"


def _reached(yes: bool) -> str:
    return "reached" if yes else "**not reached**"
