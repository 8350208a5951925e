"""Collects a report's values from ML Metadata and from the run's artifacts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from components.corpus_example_gen.report import CorpusCounts
from pipelines.evaluation.verdict import (
    EvaluationOutputError,
    MetricSlice,
    Verdict,
    read_verdict,
)
from pipelines.exporting.quantising import QuantisingCost
from pipelines.node_ids import SPAN_EVALUATOR, TEST_EXAMPLE_GEN
from pipelines.price_quote import PriceQuote
from pipelines.report.lineage import Lineage, trace
from pipelines.report.model import (
    MeterValidation,
    Missing,
    NodeTime,
    Outcome,
    Promotion,
    RunReport,
    ServingValidation,
    Training,
    TrainingPoint,
)
from pipelines.report.run_records import ArtifactRecord, RunRecords
from pipelines.report.validators import (
    read_meter_validation,
    read_promotion,
    read_serving_validation,
)
from tokenizer.contract import ContractError, MeteringRecord

_HISTORY_FILE: Final = "history.jsonl"
# Characters of an error that are shown; some list every record they were about.
_MAX_ERROR: Final = 2000
# TFX's layout of a Model artifact.
_SERVING_MODEL: Final = "Format-Serving"


def gather(
    metadata_file: str | Path,
    run_id: str,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    failures: Mapping[str, str] | None = None,
    checkpoint_notes: Sequence[str] = (),
    quote: PriceQuote | None = None,
) -> RunReport:
    """Everything that is known of a run.

    A part whose artifact is not there, or cannot be read, is a `Missing` that says so.

    Args:
      metadata_file: ML Metadata's sqlite file.
      run_id: the run, as the runner named it.
      settings: the configuration by section; what the nodes recorded does not hold it as
        it was written.
      failures: by node, the error it failed with; ML Metadata does not keep it.
      checkpoint_notes: how the checkpoint that training started from is followed.
      quote: what the model's tokens cost, to say what a summary costs.

    Raises:
      RunNotFoundError: there is no such run.
    """
    records = RunRecords(metadata_file, run_id)
    evaluation = _evaluation(records)
    model = _evaluated_model(records)
    meter_validation = read_meter_validation(records.output("MeterBlessing"))
    serving_validation = read_serving_validation(records.output("InfraBlessing"))
    promotion = read_promotion(records.output("PromotionBlessing"))
    started = min((found.started_ms for found in records.executions), default=None)
    return RunReport(
        pipeline_name=records.pipeline_name,
        run_id=run_id,
        started=datetime.fromtimestamp(started / 1000).astimezone() if started else None,
        outcome=_outcome(
            records,
            failures or {},
            evaluation,
            meter_validation,
            serving_validation,
            promotion,
        ),
        corpus=_corpus(records),
        training=_training(records, settings or {}),
        evaluation=evaluation,
        span_quality=_span_quality(records),
        metering=_metering(model),
        meter_validation=meter_validation,
        serving_validation=serving_validation,
        promotion=promotion,
        lineage=_lineage(records, model),
        nodes=_nodes(records),
        settings=settings or {},
        checkpoint_notes=tuple(checkpoint_notes),
        quote=quote,
        quantising=_quantising(model, settings or {}),
    )


def _outcome(
    records: RunRecords,
    failures: Mapping[str, str],
    evaluation: Verdict | Missing,
    meter: MeterValidation | Missing,
    serving: ServingValidation | Missing,
    promotion: Promotion | Missing,
) -> Outcome:
    pushed = records.output("PushedModel")
    if pushed and pushed.properties.get("pushed") == 1:
        return Outcome(
            state="pushed",
            version=str(pushed.properties.get("pushed_version", "")),
            destination=str(pushed.properties.get("pushed_destination", "")),
            reasons=(),
        )
    failed = [found.node_id for found in records.executions if found.state == "failed"]
    # A node whose inputs could not even be looked for has no execution.
    failed += [node_id for node_id in failures if node_id not in failed]
    reasons = [_failed(node_id, failures.get(node_id, "")) for node_id in failed]
    if isinstance(evaluation, Verdict):
        reasons += evaluation.reasons
    if isinstance(meter, MeterValidation) and not meter.blessed:
        missed = [check.name for check in meter.checks if not check.passed]
        reasons.append(f"MeterValidator did not bless the model: {', '.join(missed)}.")
    if isinstance(serving, ServingValidation) and not serving.blessed:
        reasons.append(f"ServingValidator did not bless the model: {serving.reason}")
    if reason := _not_promoted(promotion, bool(records.output("PromotionBlessing"))):
        reasons.append(reason)
    if not reasons and not pushed:
        reasons.append("The run has not come to its Pusher.")
    return Outcome("not_pushed" if pushed else "incomplete", "", "", tuple(reasons))


def _failed(node_id: str, error: str) -> str:
    if not error:
        return f"{node_id} failed; the log has its error."
    shown = error if len(error) <= _MAX_ERROR else f"{error[:_MAX_ERROR]}… (the log has it all)"
    return f"{node_id} failed: {shown}"


def _not_promoted(promotion: Promotion | Missing, ran: bool) -> str:
    """Why a model that every validator blessed is not the champion; empty if it is."""
    if isinstance(promotion, Missing):
        return promotion.reason if ran else ""
    if promotion.promoted or not promotion.blessed:
        return ""
    return f"Promoter did not make version {promotion.version} the champion. {promotion.reason}"


def _corpus(records: RunRecords) -> CorpusCounts | Missing:
    examples = records.output("Examples", "examples", but=TEST_EXAMPLE_GEN)
    if examples is None:
        return Missing("No corpus was read.")
    try:
        return CorpusCounts.load(examples.uri)
    except (FileNotFoundError, ValueError, TypeError) as error:
        return Missing(str(error))


def _training(
    records: RunRecords, settings: Mapping[str, Mapping[str, Any]]
) -> Training | Missing:
    model_run = records.output("ModelRun")
    if model_run is None:
        return Missing("No model was trained in this run or in one whose results it reused.")
    for file in sorted(Path(model_run.uri).rglob(_HISTORY_FILE)):
        try:
            rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line]
            points = [
                TrainingPoint(
                    int(row["step"]),
                    float(row["train_loss"]),
                    float(row["val_loss"]),
                    float(row.get("examples_per_s", math.nan)),
                )
                for row in rows
            ]
        except (ValueError, KeyError, TypeError) as error:
            return Missing(f"{file} could not be read: {error!r}")
        if points:
            return Training(
                tuple(sorted(points, key=lambda point: point.step)),
                lead_steps=int(settings.get("training", {}).get("lead_steps", 0)),
                log_dir=str(file.parent),
            )
    return Missing(f"{model_run.uri} holds no {_HISTORY_FILE} with a validation in it.")


def _evaluation(records: RunRecords) -> Verdict | Missing:
    evaluation = records.output("ModelEvaluation", but=SPAN_EVALUATOR)
    blessing = records.output("ModelBlessing", but=SPAN_EVALUATOR)
    if evaluation is None or blessing is None:
        return Missing("The model was not evaluated.")
    try:
        return read_verdict(evaluation.uri, blessing.uri)
    except EvaluationOutputError as error:
        return Missing(str(error))


def _span_quality(records: RunRecords) -> MetricSlice | None:
    evaluation = records.output("ModelEvaluation", of=SPAN_EVALUATOR)
    blessing = records.output("ModelBlessing", of=SPAN_EVALUATOR)
    if evaluation is None or blessing is None:
        return None
    try:
        return read_verdict(evaluation.uri, blessing.uri).overall
    except EvaluationOutputError:
        return None


def _evaluated_model(records: RunRecords) -> ArtifactRecord | None:
    """The metered model: what the Evaluator was given, or the last Model there is."""
    for execution in records.executions:
        if any(found.type == "ModelEvaluation" for found in execution.outputs):
            return next((found for found in execution.inputs if found.key == "model"), None)
    return records.output("Model")


def _metering(model: ArtifactRecord | None) -> MeteringRecord | Missing:
    if model is None:
        return Missing("There is no metered model.")
    try:
        return MeteringRecord.load(Path(model.uri) / _SERVING_MODEL)
    except ContractError as error:
        return Missing(str(error))


def _quantising(
    model: ArtifactRecord | None, settings: Mapping[str, Mapping[str, Any]]
) -> QuantisingCost | Missing | None:
    if model is None:
        return None
    try:
        cost = QuantisingCost.load(Path(model.uri) / _SERVING_MODEL)
    except ValueError as error:
        return Missing(str(error))
    if cost is None and settings.get("export", {}).get("weights", "float32") != "float32":
        return Missing("What int8 costs was not measured: there were no held-out documents.")
    return cost


def _lineage(records: RunRecords, model: ArtifactRecord | None) -> Lineage | Missing:
    pushed = records.output("PushedModel")
    if pushed and pushed.properties.get("pushed") == 1:
        return trace(records, pushed)
    return trace(records, model) if model else Missing("There is no model to trace back.")


def _nodes(records: RunRecords) -> tuple[NodeTime, ...]:
    times = []
    for execution in records.executions:
        made = None
        if execution.state == "cached" and execution.outputs:
            maker = records.maker(execution.outputs[0])
            made = maker.seconds if maker and maker.made_results else None
        times.append(
            NodeTime(
                node_id=execution.node_id,
                execution_id=execution.id,
                state=execution.state,
                seconds=execution.seconds,
                made_seconds=made,
            )
        )
    return tuple(times)
