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

What Tallygraph's gateway adds to a request, and how many requests it takes a second, against
calling the model server directly and against LiteLLM's proxy, in one run on one backend.

**The backend is a stub**: no model computes. It answers at once, or after a fixed time, with
the text's first words and the number of its words as counts, over TensorFlow Serving's REST
API (which Tallygraph's gateway asks) and over OpenAI's (which LiteLLM asks). So what is seen
is the gateways' own cost, and nothing of a model's.

**What each does for a request**, both as one process with one worker:

- *Tallygraph*: checks the key, model, body, limits; reserves the most that the request can
  cost against the tenant's budget; asks the backend; charges what was counted, with the
  answer, in a hash-chained ledger; and answers only when all of it is on the disk (SQLite in
  WAL mode with `synchronous = FULL`, but for the reservation's own commit: the charge's brings
  it there, too; PostgreSQL with its defaults of `fsync` and `synchronous_commit`, both on, for
  both commits). A line of log for each request.
- *LiteLLM*: checks its one master key, routes, asks the backend, works out a cost in memory.
  **It runs without a database**: the engine of its database client could not be downloaded
  where this was measured. So it has no virtual keys, no budgets and no spend log, and nothing
  goes to a disk. That is in its favour. `LITELLM_MODE=PRODUCTION`, logs of errors only, no
  callbacks.

**How it is measured.** The clients are another process, on asyncio: each has a connection of
its own, kept open, and asks for a chat completion again as soon as it is answered; texts have
20 to 200 words. All servers run at the same time and take turns; the order moves on by one
from round to round. Every way gives the same answers, which is checked, and afterwards each
ledger is held to all that was asked: as many charges as requests, and a chain without
findings. Clients, stub and gateways share the machine's cores, so processor time is read for
each gateway's own process (the system counts it in steps of 10 ms): requests a second and core
are 1 / (processor seconds a request).
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
            "## What was aimed at\n",
            _targets(results),
            f"Medians of {turns} turns (least-most). {results.versions}. {results.machine}. "
            f"Others took {results.busy:.0%} of the cores' time, at the worst point.\n",
            f"Again: `{command}`.\n",
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
        "Against the same round's turn of the stub asked directly, by the API that the gateway "
        "asks it by.\n\n" + markdown.table(header, rows)
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
        "The last column: of requests a second and core, and of requests a second. The slower "
        "a way, the fewer of its requests are in a turn, and the more its rate varies: the "
        "ratio by core is the steadier one.\n\n" + markdown.table(header, rows)
    )


def _times(each: Measured, peer: Measured) -> str:
    return f"{_by_core(each, peer):.1f}, {_by_rate(each, peer):.1f}"


def _by_core(each: Measured, peer: Measured) -> float:
    return median(b / a for a, b in zip(each.cpu_ms, peer.cpu_ms, strict=True))


def _by_rate(each: Measured, peer: Measured) -> float:
    return median(a / b for a, b in zip(each.rates, peer.rates, strict=True))


def _targets(results: Results) -> str:
    """Whether they are reached, in sentences made of the figures."""
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
