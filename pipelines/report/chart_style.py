"""One style for every chart, and how a chart becomes part of a page.

A chart is drawn with stand-in colours. In the page each becomes a CSS variable, so that a
chart follows the page into its dark colours. The palette is Okabe and Ito's, which readers
of any colour vision can tell apart; series differ in shape or dash too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
PAPER: Final = "#040404"
MODEL: Final = "#050505"
BASELINE: Final = "#060606"
CHAMPION: Final = "#070707"

_CSS_VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--rule)",
    PAPER: "var(--paper)",
    MODEL: "var(--model)",
    BASELINE: "var(--baseline)",
    CHAMPION: "var(--champion)",
}

_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",  # text stays text: it is read, searched and printed as such
    "text.parse_math": False,  # a source may be called $x$
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}

# Width in inches of every chart, so that text has one size in all of them.
WIDTH: Final = 8.0


@contextmanager
def new_chart(height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes in the style; height in inches."""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots()


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element for an HTML page.

    Args:
      figure: what was drawn within `new_chart`.
      name: unique in the page; makes its ids unique.
      description: what it shows, for who cannot see it.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = _own_ids(svg, name)
    for colour, variable in _CSS_VARIABLES.items():
        svg = svg.replace(colour, variable)
    # Matplotlib names its own fonts; the page has better ones.
    svg = re.sub(r"(font: [\d.]+px) [^;\"]+", r"\1 var(--sans)", svg)
    head_end = svg.index(">")
    view_box = re.search(r'viewBox="[^"]+"', svg[:head_end])
    if view_box is None:
        raise ValueError("the chart has no viewBox; expected matplotlib's SVG")
    return (
        f'<svg class="chart" {view_box.group()} role="img" aria-label="{escape(description)}">'
        + svg[head_end + 1 :].strip()
    )


def _own_ids(svg: str, name: str) -> str:
    """Drop ids that nothing refers to; several charts in a page would share them."""
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(
        r' id="([^"]+)"',
        lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "",
        svg,
    )
    return re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg).replace("xlink:href", "href")
