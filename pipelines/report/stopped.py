"""The report of a run that was stopped before its first node."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pipelines.config import PipelineConfig
from pipelines.continuous import Decision
from pipelines.report.model import Missing, Outcome, RunReport
from pipelines.report.writing import write_report


def write_stopped_report(decision: Decision, settings: PipelineConfig, file: Path) -> Path:
    """Write why nothing was trained, in the place of a run's report.

    Returns:
      `file`, absolute.

    Raises:
      ReportError: it cannot be written.
    """
    none = Missing("The run was stopped before its first node.")
    summary = (decision.drift.summary,) if decision.drift else ()
    return write_report(
        RunReport(
            pipeline_name=settings.pipeline.name,
            run_id="none",
            started=datetime.now().astimezone(),
            outcome=Outcome("not_pushed", "", "", (decision.reason, *summary)),
            corpus=none,
            training=none,
            evaluation=none,
            metering=none,
            meter_validation=none,
            serving_validation=none,
            promotion=none,
            lineage=none,
            nodes=(),
            settings=settings.as_dict(),
        ),
        file,
    )
