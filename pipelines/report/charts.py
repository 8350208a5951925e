"""The charts of a report, each as an SVG element."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipelines.evaluation.verdict import LENGTH, OVERALL, SOURCE, MetricSlice
from pipelines.report.chart_style import (
    BASELINE,
    CHAMPION,
    GRID,
    INK,
    MODEL,
    MUTED,
    PAPER,
    new_chart,
    to_svg,
)
from pipelines.report.model import Training
from pipelines.report.texts import visible

_MAX_BARS: Final = 48
_ROW_INCHES: Final = 0.30


def loss_chart(training: Training) -> str:
    """Training and validation loss over steps; the exported point is marked."""
    points = training.points
    steps = [point.step for point in points]
    with new_chart(height=3.2) as (figure, axes):
        # A single point has no line.
        marker = "o" if len(points) < 3 else ""
        for values, colour, dash, label in (
            ([p.train_loss for p in points], BASELINE, (0, (4, 2)), "training"),
            ([p.val_loss for p in points], MODEL, "solid", "validation"),
        ):
            axes.plot(steps, values, color=colour, linestyle=dash, marker=marker, label=label)
        best = training.best
        axes.plot(
            best.step,
            best.val_loss,
            "o",
            color=MODEL,
            markeredgecolor=PAPER,
            markersize=8,
            markeredgewidth=1.5,
            label=f"exported: {best.val_loss:.3f} after step {best.step:,}",
        )
        if training.has_lead:
            _mark_lead(axes, training.lead_steps)
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats a label")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.02)
        _legend(axes)
        return to_svg(
            figure,
            "loss",
            f"Loss over steps. Validation loss is lowest, {best.val_loss:.3f}, after step "
            f"{best.step}.",
        )


def _mark_lead(axes: Axes, steps: int) -> None:
    """The part of the curve where labels were easier, for whoever wonders why it rises."""
    axes.axvspan(0, steps, color=GRID, alpha=0.45, linewidth=0, zorder=0)
    axes.annotate(
        f"lead steps, to {steps:,}",
        (steps, 0),
        xycoords=("data", "axes fraction"),
        xytext=(4, 4),
        textcoords="offset points",
        color=MUTED,
        fontsize=9.5,
    )
    axes.set_xlim(left=0)


def slices_chart(slices: Sequence[MetricSlice]) -> str:
    """ROUGE-L F1 of model, champion and first sentence, a row for each slice.

    Args:
      slices: at least one, in the order of the rows.
    """
    rows, labels = _slice_rows(slices)
    with new_chart(height=0.9 + _ROW_INCHES * (rows[-1] + 1)) as (figure, axes):
        model = [found.candidate["rouge_l_f1"] for found in slices]
        baseline = [found.candidate["baseline_rouge_l_f1"] for found in slices]
        axes.hlines(rows, baseline, model, color=GRID, linewidth=3, zorder=1)
        axes.plot(
            baseline,
            rows,
            "o",
            color=PAPER,
            markeredgecolor=BASELINE,
            markeredgewidth=1.8,
            markersize=7.5,
            label="first sentence",
        )
        champions = [
            (found.champion["rouge_l_f1"], row)
            for found, row in zip(slices, rows, strict=True)
            if "rouge_l_f1" in found.champion
        ]
        if champions:
            values, at = zip(*champions, strict=True)
            axes.plot(values, at, "D", color=CHAMPION, markersize=6.5, label="champion")
        margins = [found.candidate.get("rouge_l_f1_margin_95", math.nan) for found in slices]
        margins = [0 if math.isnan(margin) else margin for margin in margins]
        # F1 is never below 0, whatever the normal approximation says.
        below = [min(value, margin) for value, margin in zip(model, margins, strict=True)]
        axes.errorbar(
            model,
            rows,
            xerr=[below, margins],
            clip_on=False,
            fmt="o",
            color=MODEL,
            elinewidth=1.2,
            markersize=8,
            label="this model, 95 % interval",
        )
        axes.set_yticks(rows, labels)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(rows[-1] + 0.7, -0.7)
        axes.set_xlim(left=0)
        axes.set_xlabel("ROUGE-L F1")
        axes.grid(visible=False, axis="y")
        _legend(axes)
        return to_svg(
            figure, "slices", "ROUGE-L F1 of the model and of the first sentence by slice."
        )


def _slice_rows(slices: Sequence[MetricSlice]) -> tuple[list[float], list[str]]:
    """Heights and labels of the rows; a gap wherever the kind of slice changes."""
    rows: list[float] = []
    height = 0.0
    for index, found in enumerate(slices):
        if index and found.feature != slices[index - 1].feature:
            height += 0.6
        rows.append(height)
        height += 1
    names = {OVERALL: "all examples", SOURCE: "{}", LENGTH: "{}"}
    labels = [
        f"{_shortened(names[found.feature].format(found.value))}  ({found.examples:,})"
        for found in slices
    ]
    return rows, labels


def token_chart(name: str, counts: Counter[int], limit: int | None, xlabel: str) -> str:
    """How many answers have how many tokens.

    Args:
      name: unique in the page.
      counts: answers by their number of tokens; at least one.
      limit: the model's own limit, marked where it is given.
    """
    top = max([*counts, limit or 0])
    width = max(1, math.ceil((top + 1) / _MAX_BARS))
    bars: Counter[int] = Counter()
    for tokens, count in counts.items():
        bars[tokens // width] += count
    with new_chart(height=2.4) as (figure, axes):
        axes.bar(
            [bar * width + (width - 1) / 2 for bar in bars],
            list(bars.values()),
            width=width * 0.86,
            color=MODEL,
        )
        if limit is not None:
            edge = (limit // width + 1) * width - 0.5
            axes.axvline(edge, color=BASELINE, linestyle=(0, (4, 2)), linewidth=1.4)
            axes.annotate(
                f"limit {limit:,}",
                (edge, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-5, -1),
                textcoords="offset points",
                ha="right",
                va="top",
                color=MUTED,
                fontsize=9.5,
            )
            axes.margins(y=0.25)  # room for the label above the highest bar
        axes.set_xlim(-0.8 * width, (top // width + 1.3) * width - 0.5)
        axes.set_xlabel(xlabel)
        axes.set_ylabel("examples")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axes.grid(visible=False, axis="x")
        return to_svg(
            figure, name, f"Distribution of {xlabel}, {min(counts)} to {max(counts)}."
        )


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9.5,
        borderaxespad=0.2,
        handletextpad=0.5,
        labelcolor=MUTED,
    )


def _shortened(label: str, length: int = 34) -> str:
    label = visible(label)
    return label if len(label) <= length else label[: length - 1] + "…"
