"""Reads the reports that the validators and Promoter leave beside their blessings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from components.promoter.rules import Comparison
from components.serving_validator.report import Mismatch
from pipelines.report.model import (
    MeterCheck,
    MeterValidation,
    Missing,
    Promotion,
    ServingValidation,
)
from pipelines.report.run_records import ArtifactRecord

_REPORT_FILE: Final = "report.json"
_MAX_MISMATCHES: Final = 5
# They have places of their own in the report.
_NO_FACTS: Final = ("blessed", "checks", "model", "tokenizer_kind", "vocabulary_size")


def read_meter_validation(blessing: ArtifactRecord | None) -> MeterValidation | Missing:
    """The report beside a MeterBlessing."""
    found = _read(blessing, "MeterValidator")
    if isinstance(found, Missing):
        return found
    try:
        return MeterValidation(
            blessed=bool(found["blessed"]),
            checks=tuple(_meter_check(check) for check in found["checks"]),
            facts=tuple(
                _fact(name, value) for name, value in found.items() if name not in _NO_FACTS
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        return Missing(f"MeterValidator's report could not be understood: {error!r}")


def _fact(name: str, value: Any) -> tuple[str, str]:
    if name.endswith("_s"):
        return name.removesuffix("_s").replace("_", " "), f"{value} s"
    return name.replace("_", " "), str(value)


def _meter_check(check: Any) -> MeterCheck:
    return MeterCheck(
        name=str(check["name"]),
        proves=str(check["proves"]),
        passed=bool(check["passed"]),
        cases=int(check["cases"]),
        mismatches=int(check["mismatch_count"]),
        examples=tuple(
            f"{found['case']}: expected {found['expected']}, received {found['received']}"
            for found in check["mismatches"][:_MAX_MISMATCHES]
        ),
        not_run=str(check["not_run"]),
    )


def read_serving_validation(blessing: ArtifactRecord | None) -> ServingValidation | Missing:
    """The report beside an InfraBlessing."""
    found = _read(blessing, "ServingValidator")
    if isinstance(found, Missing):
        return found
    try:
        mismatches = [str(Mismatch(**mismatch)) for mismatch in found["mismatches"]]
        return ServingValidation(
            blessed=bool(found["blessed"]),
            reason=str(found["reason"]),
            engine=str(found["engine_description"]),
            startup_s=found["startup_s"],
            requests=int(found["requests"]),
            rows=int(found["rows"]),
            mismatches=tuple(mismatches[:_MAX_MISMATCHES]),
            mismatches_total=int(found["mismatches_total"]),
            server_log=str(found["server_log"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        return Missing(f"ServingValidator's report could not be understood: {error!r}")


def read_promotion(blessing: ArtifactRecord | None) -> Promotion | Missing:
    """The report beside a PromotionBlessing."""
    found = _read(blessing, "Promoter")
    if isinstance(found, Missing):
        return found
    try:
        version, comparison = found["version"], found.get("comparison")
        before = found.get("champion_before")
        return Promotion(
            outcome=str(found["outcome"]),
            reason=str(found["reason"]),
            refused_by=tuple(map(str, found["refused_by"])),
            model_name=str(found["model_name"]),
            version=int(version["number"]) if version else 0,
            champion_before=None if before is None else int(before),
            comparison=Comparison(**comparison) if comparison else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Missing(f"Promoter's report could not be understood: {error!r}")


def _read(blessing: ArtifactRecord | None, validator: str) -> Any:
    if blessing is None:
        return Missing(f"{validator} did not run.")
    path = Path(blessing.uri) / _REPORT_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Missing(f"{validator}'s report could not be read: {error}")
