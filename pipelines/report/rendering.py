"""From a report's values to the page. Every text is escaped by the template engine."""

from __future__ import annotations

import json
import math
import shlex
from datetime import UTC, datetime
from typing import Any

import jinja2
from markupsafe import Markup

from pipelines.evaluation.verdict import MetricSlice, Verdict
from pipelines.report.charts import loss_chart, slices_chart, token_chart
from pipelines.report.copied import LEAST_WORDS, passages
from pipelines.report.in_short import in_short
from pipelines.report.lineage_drawing import Drawing, draw, fact
from pipelines.report.model import Missing, RunReport
from pipelines.report.texts import duration, moment, number, percent, visible


def render(report: RunReport) -> str:
    """The whole page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        signed=lambda value: number(value, signed=True),
        measured=lambda value: number(math.nan if value is None else value, 4),
        gain=lambda value: number(math.nan if value is None else value, 4, signed=True),
        percent=percent,
        count=lambda value: f"{value:,}",
        duration=duration,
        setting=lambda value: json.dumps(value, ensure_ascii=False, default=str),
        moment=moment,
        fact=fact,
        shell=shlex.quote,
        passages=lambda answer: passages(answer.document, answer.summary),
    )
    environment.tests["missing"] = lambda part: isinstance(part, Missing)
    return environment.get_template("report.html").render(
        report=report,
        in_short=in_short(report),
        least_words_copied=LEAST_WORDS,
        charts=_charts(report),
        shown_slices=shown_slices(report.evaluation),
        drawing=_drawing(report),
        total_seconds=sum(node.seconds for node in report.nodes),
        longest_seconds=max((node.longest_seconds for node in report.nodes), default=0.0)
        or 1.0,
        written=datetime.now(UTC),
    )


def shown_slices(evaluation: Verdict | Missing) -> tuple[MetricSlice, ...]:
    """All examples first, then the slices."""
    if isinstance(evaluation, Missing) or evaluation.overall is None:
        return ()
    return (evaluation.overall, *evaluation.slices)


def _finalize(value: Any) -> Any:
    """Applied to every value that a template writes, before it is escaped."""
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return visible(value) if is_text else value


def _charts(report: RunReport) -> dict[str, Markup]:
    charts = {}
    if not isinstance(report.training, Missing):
        charts["loss"] = loss_chart(report.training)
    if slices := shown_slices(report.evaluation):
        charts["slices"] = slices_chart(slices)
    if not isinstance(report.evaluation, Missing) and report.evaluation.material:
        material = report.evaluation.material
        metering = None if isinstance(report.metering, Missing) else report.metering
        charts["input_tokens"] = token_chart(
            "input-tokens",
            material.input_tokens,
            metering.max_input_tokens if metering else None,
            "input tokens that were read",
        )
        charts["output_tokens"] = token_chart(
            "output-tokens",
            material.output_tokens,
            metering.max_output_tokens if metering else None,
            "output tokens that were written",
        )
    # Matplotlib has escaped the texts in its SVG.
    return {name: Markup(svg) for name, svg in charts.items()}


def _drawing(report: RunReport) -> Drawing | None:
    return None if isinstance(report.lineage, Missing) else draw(report.lineage)
