"""Writes the verdict in two formats: `report.json` for programs, `report.md` for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from components.meter_validator.check import Check

REPORT_JSON: Final = "report.json"
REPORT_MARKDOWN: Final = "report.md"


def is_blessed(checks: Sequence[Check]) -> bool:
    """Return whether every check was run and passed."""
    return all(check.passed for check in checks)


def write_reports(checks: Sequence[Check], facts: dict[str, Any], directory: Path) -> None:
    """Write both reports.

    Args:
      checks: all checks.
      facts: what was checked and with what, by name, as JSON values.
      directory: where to write; must exist.
    """
    report = {
        "blessed": is_blessed(checks),
        **facts,
        "checks": [{**asdict(check), "passed": check.passed} for check in checks],
    }
    (directory / REPORT_JSON).write_text(
        json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (directory / REPORT_MARKDOWN).write_text(_markdown(checks, facts), encoding="utf-8")


def _markdown(checks: Sequence[Check], facts: dict[str, Any]) -> str:
    verdict = "Blessed" if is_blessed(checks) else "Not blessed"
    lines = [f"# Meter validation: {verdict.lower()}", ""]
    lines += [f"- {name.replace('_', ' ')}: {_cell(value)}" for name, value in facts.items()]
    lines += [
        "",
        "| check | what it proves | cases | mismatches | result |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    lines += [
        f"| {check.name} | {check.proves} | {check.cases:,} | {check.mismatch_count:,} | "
        f"{_result(check)} |"
        for check in checks
    ]
    for check in checks:
        if check.mismatches:
            lines += ["", f"## {check.name}", ""]
            lines += [_introduction(check), ""]
            lines += ["| case | expected | received |", "| --- | --- | --- |"]
            lines += [
                f"| {_cell(m.case)} | {_cell(m.expected)} | {_cell(m.received)} |"
                for m in check.mismatches
            ]
    return "\n".join(lines) + "\n"


def _result(check: Check) -> str:
    if check.not_run:
        return f"**not run**: {check.not_run}"
    return "passed" if check.passed else "**failed**"


def _introduction(check: Check) -> str:
    shown, total = len(check.mismatches), check.mismatch_count
    return f"The first {shown} of {total:,} mismatches:" if shown < total else "Mismatches:"


def _cell(value: object) -> str:
    """One line of a table, with nothing in it that Markdown or a terminal would act on."""
    text = str(value).replace("`", "'").replace("|", "\\|")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return f"`{text}`" if text else "–"
