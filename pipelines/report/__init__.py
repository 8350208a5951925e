"""The report of a run: one HTML file, readable offline, made from what the run recorded."""

from pipelines.report.writing import ReportError, write_report

__all__ = ["ReportError", "write_report"]
