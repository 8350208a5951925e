"""The server under many clients as a picture: rows a second, and the time to an answer."""

from __future__ import annotations

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from benchmarks.plotting import BLUE, ORANGE, picture
from benchmarks.serve.results import BATCHED, UNBATCHED, Measured, Section

_COLOURS = {UNBATCHED: ORANGE, BATCHED: BLUE}


def draw(section: Section, path: Path) -> None:
    """Write the picture as SVG."""
    with picture(path, width=11, height=4.2) as figure:
        left, right = figure.subplots(1, 2)
        for way, points in _by_way(section).items():
            clients = list(points)
            rates = [statistics.median(each.rates) for each in points.values()]
            left.plot(clients, rates, "o-", color=_COLOURS[way], label=way)
            for style, name in (("o-", "p50"), ("o:", "p99")):
                times = [getattr(each, f"{name}_ms") for each in points.values()]
                right.plot(clients, times, style, color=_COLOURS[way], label=f"{way}, {name}")
        left.set_title("rows a second", loc="left")
        left.set_ylim(bottom=0)
        right.set_title("time to an answer, ms", loc="left")
        right.set_yscale("log")
        for axis in (left, right):
            _clients(axis, sorted({clients for _, clients in section.points}))


def _by_way(section: Section) -> dict[str, dict[int, Measured]]:
    found: dict[str, dict[int, Measured]] = {}
    for (_, clients), ways in section.points.items():
        for way, measured in ways.items():
            found.setdefault(way, {})[clients] = measured
    return found


def _clients(axis: Axes, numbers: list[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(numbers, [str(each) for each in numbers])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("clients")
    axis.legend(frameon=False)
