"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import markdown
from benchmarks.environment import others_took
from benchmarks.serve.results import BATCHED, IN_PROCESS, UNBATCHED, Measured, Results, Section
from benchmarks.serve.subject import FIXTURE, SUMMARIZER
from benchmarks.timings import median_with_range

_ABOUT = {
    SUMMARIZER: "The summariser of the demo: T5, 2 + 2 layers of 192, random weights, so that "
    "every summary is as long as the limit (18 ids). It is metered; all six outputs "
    "are returned.",
    FIXTURE: "A model of [a few string ops](../../tests/support/fixture_model.py), which takes "
    "almost no time, so that what is measured is the server itself. It has seven "
    "outputs.",
}
_HEAD = """# Serving

The local model server, in a separate process, compared with the same SavedModel called in the
process that has loaded it; and the server under many concurrent clients.

**How it is measured.** The clients are in a separate process, on asyncio: each keeps its own
connection open, and sends the next request as soon as it has a response. They build each
request from texts (documents of the docstring corpus, of all lengths) and read every output of
each response: REST in row format as JSON, gRPC as arrays. Clients and server share the cores of
the machine, so the server does not have the time that the clients take; the tables say how much
that is. "In process" is `tf.saved_model.load(...).signatures[...]`, called by as many Python
threads as there are clients, with the same texts; TensorFlow computes with the same number of
threads on both sides. All are loaded at the same time and take turns; the order rotates by one
from round to round. Processes are stopped, or idle, while it is not their turn. The first and
the last call of each client in a turn are not counted. It is checked that all ways give the
same outputs.
"""
_THROUGHPUT_HEADER = (
    "rows a call",
    "clients",
    "in process, calls/s",
    "REST, calls/s",
    "REST / in process",
    "gRPC, calls/s",
    "gRPC / in process",
    "ms a call: in process",
    "clients, REST",
    "clients, gRPC",
)


def render(results: Results, *, plot: str, command: str) -> str:
    """The page, in Markdown.

    Args:
      results: all that was measured.
      plot: name of the picture beside the page.
      command: that measures again.
    """
    parts = [_HEAD]
    if results.throughput:
        parts.append(_THROUGHPUT)
    parts += [_throughput(name, each) for name, each in results.throughput.items()]
    if results.batching is not None:
        parts.append(_batching(results.batching, plot))
    return "\n".join([*parts, f"To measure again: `{command}`.\n"])


_THROUGHPUT = """## Against calls in process

Calls per second are the median of the turns (least-most); a ratio is the median of the ratios
within each round. The last three columns are the processor time per call: of the process that
computes in process, and of the clients.
"""


def _throughput(name: str, section: Section) -> str:
    rows = []
    for (batch, clients), ways in section.points.items():
        mine = ways[IN_PROCESS]
        row: list[object] = [batch, clients, _rate(mine)]
        for protocol in ("REST", "gRPC"):
            row += [_rate(ways[protocol]), _ratio(ways[protocol], mine)]
        rows.append([*row, *(f"{ways[way].asker_ms:.2f}" for way in ways)])
    return (
        f"### {name.capitalize()}\n\n{_ABOUT[name]}\n\n"
        + markdown.table(_THROUGHPUT_HEADER, rows)
        + f"\n{_turns(section)} {section.about}. {_where(section)}\n"
    )


def _batching(section: Section, plot: str) -> str:
    ways = list(next(iter(section.points.values())))
    header = ["clients"]
    for way in ways:
        header += [f"{way}, rows/s", "p50, ms", "p99, ms"]
    batched = BATCHED in ways
    if batched:
        header += [f"{BATCHED} / {UNBATCHED}"]
    rows: list[list[object]] = []
    for (_, clients), measured in section.points.items():
        row: list[object] = [clients]
        for way in ways:
            each = measured[way]
            row += [_rate(each), f"{each.p50_ms:,.1f}", f"{each.p99_ms:,.1f}"]
        if batched:
            row += [_ratio(measured[BATCHED], measured[UNBATCHED])]
        rows.append(row)
    set_up = f" Batching is set up by `{section.about}`." if batched else ""
    return (
        f"## Many clients\n\n![rows per second and time to a response]({plot})\n\nThe "
        f"summariser over gRPC, one text per call.{set_up}\n\n"
        + markdown.table(header, rows)
        + f"\n{_turns(section)} {_where(section)}\n"
    )


def _rate(measured: Measured) -> str:
    return median_with_range(measured.rates, digits=1 if max(measured.rates) < 100 else 0)


def _ratio(measured: Measured, to: Measured) -> str:
    ratios = [one / other for one, other in zip(measured.rates, to.rates, strict=True)]
    return median_with_range(ratios, digits=3)


def _each(section: Section) -> Iterator[Measured]:
    for ways in section.points.values():
        yield from ways.values()


def _turns(section: Section) -> str:
    turns = max(len(each.rates) for each in _each(section))
    fewest = min(each.calls for each in _each(section))
    return f"{turns} turns of each at each point, {fewest:,} or more calls counted in them."


def _where(section: Section) -> str:
    busy = others_took(section.busy)
    return f"{section.threads} threads of TensorFlow. {section.machine}. {busy}"
