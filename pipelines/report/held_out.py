"""Held-out documents of a registered version: it was evaluated on them, never trained on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tensorflow as tf

from components.example_records import ExampleError, texts_in_files
from components.model_registry.port import RegisteredVersion
from pipelines.evaluation.material import order_key
from pipelines.node_ids import SPAN_EVALUATOR
from pipelines.report.run_records import ArtifactRecord, RunNotFoundError, RunRecords

# TFX's layout of an Examples artifact.
_SPLIT: Final = "Split-eval"
_FEATURES: Final = ("id", "source", "document", "summary")


class HeldOutError(LookupError):
    """A version's held-out documents cannot be found; the message says why."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A document that the model has not learnt from, and what its author wrote for it."""

    id: str
    source: str
    document: str
    reference: str


def held_out(version: RegisteredVersion, count: int) -> list[HeldOut]:
    """Documents that the version's run evaluated it on, read from that run's own artifacts.

    Those with the smallest hashes, as in the report of the run: a choice that has nothing to
    do with how good the answers are, and is the same every time.

    Args:
      count: how many; fewer where there are fewer.

    Raises:
      HeldOutError: the run, or what it was evaluated on, is not there any more.
    """
    examples = _evaluated_examples(version)
    try:
        return heapq.nsmallest(count, _read(examples), _order)
    except (ExampleError, tf.errors.OpError) as error:
        raise HeldOutError(
            f"The held-out documents in {examples.uri} cannot be read: {error}. Expected the "
            "examples that the run evaluated; if they were removed, run the pipeline again."
        ) from None


def _order(row: HeldOut) -> int:
    return order_key(row.id, row.document)


def _evaluated_examples(version: RegisteredVersion) -> ArtifactRecord:
    run, name = version.tags.get("pipeline_run", ""), f"version {version.number}"
    try:
        records = RunRecords(Path(version.tags.get("mlmd", "")), run)
    except RunNotFoundError as error:
        raise HeldOutError(
            f"The run that made {name} of {version.name} is not known: {error}"
        ) from None
    for execution in records.executions:
        evaluates = any(found.type == "ModelEvaluation" for found in execution.outputs)
        if evaluates and execution.node_id != SPAN_EVALUATOR:
            for artifact in execution.inputs:
                if artifact.type == "Examples":
                    return artifact
    raise HeldOutError(
        f"Run {run} recorded no examples that {name} of {version.name} was evaluated on. "
        "Expected those of its Evaluator."
    )


def _read(examples: ArtifactRecord) -> Iterator[HeldOut]:
    files = sorted(tf.io.gfile.glob(f"{examples.uri}/{_SPLIT}/*"))
    if not files:
        raise ExampleError(f"there is no file in {_SPLIT}")
    for row in texts_in_files(files, _FEATURES):
        yield HeldOut(*row)
