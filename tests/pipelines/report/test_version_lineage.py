"""A registered version is traced back to the corpus through a recorded run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from components.model_registry.port import RegisteredVersion
from pipelines.report.run_records import RunRecords
from pipelines.report.version_lineage import version_lineage


def test_a_version_is_traced_to_its_corpus(
    recorded_run: Callable[..., tuple[Path, str]], toy_examples: Path
) -> None:
    metadata_file, run_id = recorded_run("first_words")
    model = RunRecords(metadata_file, run_id).output("Model", "metered_model")
    version = RegisteredVersion(
        "summarizer",
        4,
        model.uri,
        tags={
            "mlmd": str(metadata_file),
            "pipeline_run": run_id,
            "mlmd_model_id": str(model.id),
            "tokenizer_fingerprint": "aa",
            "pushed_versions": "1764037200 1764037300",
        },
    )
    traced = version_lineage(version)
    assert traced.missing == ""
    assert traced.facts["run"] == run_id
    assert traced.facts["tokenizer"] == "aa"
    assert traced.facts["pushed versions"] == "1764037200 1764037300"
    types = [item.type for item in traced.made_of]
    assert traced.made_of[0].uri == model.uri
    assert {"Tokenizer", "Examples", "TransformGraph"} <= set(types)
    assert traced.made_of[-1].uri == str(toy_examples)

    elsewhere = replace(version, tags={**version.tags, "mlmd_model_id": "9999"})
    assert version_lineage(elsewhere).made_of == ()
    assert "has no artifact 9999" in version_lineage(elsewhere).missing
