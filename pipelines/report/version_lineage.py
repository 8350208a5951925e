"""Where a registered version comes from: what the registry says, and ML Metadata with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.model_registry.port import RegisteredVersion
from components.model_registry.pushed import PUSHED_TAG
from components.promoter.rules import CONTRACT_TAG, FINGERPRINT_TAG
from pipelines.report.lineage import LineageItem, trace
from pipelines.report.run_records import RunNotFoundError, RunRecords

_FACTS = {
    "pushed versions": PUSHED_TAG,
    "pipeline": "pipeline",
    "run": "pipeline_run",
    "spans": "spans",
    "code": "code_version",
    "tokenizer": FINGERPRINT_TAG,
    "kind of tokenizer": "tokenizer_kind",
    "counting contract": CONTRACT_TAG,
    "ML Metadata": "mlmd",
    "report": "report",
}


@dataclass(frozen=True)
class VersionLineage:
    """A version's origin.

    Attributes:
      facts: by name, from the registry; empty where it does not know.
      made_of: the artifacts that the model was made of, itself first, the corpus last.
      missing: why there are none; empty where there are.
    """

    name: str
    number: int
    facts: Mapping[str, str]
    made_of: tuple[LineageItem, ...]
    missing: str


def version_lineage(version: RegisteredVersion) -> VersionLineage:
    """Trace a version back. ML Metadata that is gone is said, and no error."""
    made_of: tuple[LineageItem, ...] = ()
    missing = ""
    run, model_id = version.tags.get("pipeline_run", ""), version.tags.get("mlmd_model_id")
    try:
        records = RunRecords(Path(version.tags.get("mlmd", "")), run)
        model = next(
            artifact
            for execution in records.executions
            for artifact in execution.outputs
            if str(artifact.id) == model_id
        )
        made_of = trace(records, model).items
    except RunNotFoundError as error:
        missing = f"What it was made of is not known: {error}"
    except StopIteration:
        missing = f"What it was made of is not known: run {run} has no artifact {model_id}."
    return VersionLineage(
        name=version.name,
        number=version.number,
        facts={name: version.tags.get(tag, "") for name, tag in _FACTS.items()},
        made_of=made_of,
        missing=missing,
    )
