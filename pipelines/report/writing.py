"""Writes the report of a run: one HTML file."""

from __future__ import annotations

from pathlib import Path

from pipelines.report.model import RunReport
from pipelines.report.rendering import render


class ReportError(RuntimeError):
    """No report could be written. The run itself is not touched by it."""


def write_report(report: RunReport, output_html: str | Path) -> Path:
    """Write a report as one HTML file that needs no other and no network.

    Args:
      report: what `pipelines.report.gathering.gather` found.
      output_html: the file to write; its folder is made. Replaced whole or not at all.

    Returns:
      `output_html`, absolute.

    Raises:
      ReportError: the file cannot be written.
    """
    target = Path(output_html).absolute()
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(render(report), encoding="utf-8", errors="replace")
        partial.replace(target)
    except OSError as error:
        raise ReportError(f"the report could not be written to {target}: {error}") from error
    return target
