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
    "every answer is as long as the limit (18 ids). Metered; all six outputs are answered.",
    FIXTURE: "A model of [a few string ops](../../tests/support/fixture_model.py), which takes "
    "next to no time: what is left is the server itself. Seven outputs.",
}
_HEAD = """# Serving

The local model server, a process of its own, against the same SavedModel called where it is
loaded, and under many clients at a time.

**How it is measured.** The clients are another process, on asyncio: each has a connection of
its own, kept open, and asks again as soon as it is answered. They build each request from
texts (documents of the docstring corpus, of all lengths) and read every output of each answer:
REST in row format as JSON, gRPC as arrays. Clients and server share the cores of the machine,
so that what the clients take is missing to the server; the tables say how much that is.
"In process" is `tf.saved_model.load(...).signatures[...]`, called by as many Python threads as
there are clients, with the same texts; TensorFlow computes with the same number of threads on
both sides. All are loaded at the same time and take turns; the order moves on by one from
round to round. Who does not ask or compute is stopped, or idle. The first and the last calls of
a turn, one of each client, are not counted. All ways to ask give the same answers, which is
checked.
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
    return "\n".join([*parts, f"Again: `{command}`.\n"])


_THROUGHPUT = """## Against calls in process

Calls a second are the median of the turns (least-most), and so is a ratio, of the ratios within
each round. The last three columns are processor time: of the process that computes in process,
and of the clients.
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
        f"## Many clients\n\n![rows a second and time to an answer]({plot})\n\n"
        f"The summariser over gRPC, one text a call.{set_up}\n\n"
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
    return f"{turns} turns of each at each point, {fewest:,} calls or more counted in them."


def _where(section: Section) -> str:
    busy = others_took(section.busy)
    return f"{section.threads} threads of TensorFlow. {section.machine}. {busy}"
