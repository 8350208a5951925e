"""Writes the report of a run: gather, render, one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ReportError(RuntimeError):
    """No report could be written. The run itself is not touched by it."""


def write_report(
    metadata_file: str | Path,
    run_id: str,
    output_html: str | Path,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the report of a run, blessed or not, as one HTML file.

    The file needs no other and no network. A part of the run that left nothing behind is
    said to be missing, with the reason.

    Args:
      metadata_file: ML Metadata's sqlite file.
      run_id: the run, as the runner named it.
      output_html: the file to write; its folder is made. Replaced whole or not at all.
      settings: the configuration by section, `PipelineConfig.as_dict()`.

    Returns:
      `output_html`, absolute.

    Raises:
      ReportError: there is no such run, or the file cannot be written.
    """
    # They bring ML Metadata and matplotlib, which the rest of the command line can do without.
    from pipelines.report.gathering import gather
    from pipelines.report.rendering import render
    from pipelines.report.run_records import RunNotFoundError

    try:
        report = gather(metadata_file, run_id, settings)
    except RunNotFoundError as error:
        raise ReportError(f"no report: {error}") from error
    target = Path(output_html).absolute()
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(render(report), encoding="utf-8", errors="replace")
        partial.replace(target)
    except OSError as error:
        raise ReportError(f"the report could not be written to {target}: {error}") from error
    return target
