"""The results as a picture: bars of median times, one panel for a shape and a batch size."""

from __future__ import annotations

import statistics
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.decode.results import Results, ShapeResults
from benchmarks.plotting import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    picture,
)

# Ours are the blues, and black.
_COLOURS = {
    "tallygraph": BLUE,
    "tallygraph XLA": SKY,
    "tallygraph int8": BLACK,
    "keras-hub": ORANGE,
    "keras-hub jitted": YELLOW,
    "transformers": VERMILION,
    "CTranslate2 float32": GREEN,
    "CTranslate2 int8": PURPLE,
}


def draw(results: Results, path: Path) -> None:
    """Write the picture as SVG. A mark on a bar goes from the least to the most time."""
    panels = [
        (name, shape, batch)
        for name, shape in results.shapes.items()
        for batch in sorted({case.batch for case in shape.points})
    ]
    rows = (len(panels) + 1) // 2
    with picture(path, width=11, height=3.4 * rows + 0.6) as figure:
        axes = figure.subplots(rows, 2, squeeze=False).ravel()
        for panel, axis in zip(panels, axes, strict=False):
            _panel(axis, *panel)
        for axis in axes[len(panels) :]:
            axis.remove()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)


def _panel(axis: Axes, name: str, shape: ShapeResults, batch: int) -> None:
    cases = [case for case in shape.points if case.batch == batch]
    width = 0.8 / len(shape.engines)
    for i, engine in enumerate(shape.engines):
        found = [
            (place, sorted(shape.points[case][engine].seconds))
            for place, case in enumerate(cases)
            if shape.points[case][engine].seconds
        ]
        times = [[each * 1e3 for each in seconds] for _, seconds in found]
        middles = [statistics.median(each) for each in times]
        spread = [
            [middle - each[0] for middle, each in zip(middles, times, strict=True)],
            [each[-1] - middle for middle, each in zip(middles, times, strict=True)],
        ]
        axis.bar(
            [place - 0.4 + (i + 0.5) * width for place, _ in found],
            middles,
            width,
            yerr=spread if found else None,
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
            color=_COLOURS[engine],
            label=engine,
        )
    axis.set_title(f"{name}, batch {batch}", loc="left")
    axis.set_ylabel("ms")
    axis.set_xticks(
        range(len(cases)), [f"{case.ids_in} in\n{case.ids_out} out" for case in cases]
    )
