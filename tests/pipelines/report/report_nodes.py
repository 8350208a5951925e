"""Nodes that leave behind what the pipeline's own nodes do, for a run that takes seconds.

Only the Evaluator of the test pipeline is the real one; the report reads no code, it reads
what ML Metadata and the artifacts hold. (TFX reads the annotations of a component function as
objects, so they are not postponed here.)
"""

import json
import shutil
from pathlib import Path

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.artifacts import MeterBlessing, PromotionBlessing, Tokenizer
from components.corpus_example_gen.report import CorpusCounts
from components.meter_validator.check import Check
from components.meter_validator.report import is_blessed, write_reports
from components.model_registry.port import RegisteredVersion
from components.promoter.executor import NOT_BLESSED, facts_of, leave_report
from components.promoter.rules import Rules, decide
from components.serving_validator.report import Report
from tokenizer.contract import MeteringRecord

FINGERPRINT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@component
def read_corpus(
    input_base: Parameter[str], examples: OutputArtifact[standard_artifacts.Examples]
) -> None:
    shutil.copytree(Path(input_base) / "Split-eval", Path(examples.uri) / "Split-eval")
    examples.split_names = '["eval"]'
    CorpusCounts(132, {"train": 0, "eval": 120}, 12, {"empty summary": 9, "not UTF-8": 3}).save(
        examples.uri
    )


@component
def train_tokenizer(
    examples: InputArtifact[standard_artifacts.Examples],
    tokenizer: OutputArtifact[Tokenizer],
) -> None:
    tokenizer.kind = "sentencepiece"
    tokenizer.vocabulary_size = 4000
    tokenizer.fingerprint = FINGERPRINT


@component
def transform(
    examples: InputArtifact[standard_artifacts.Examples],
    tokenizer: InputArtifact[Tokenizer],
    transform_graph: OutputArtifact[standard_artifacts.TransformGraph],
    transformed_examples: OutputArtifact[standard_artifacts.Examples],
) -> None:
    Path(transform_graph.uri).mkdir(parents=True, exist_ok=True)


@component
def train(
    examples: InputArtifact[standard_artifacts.Examples],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    tokenizer: InputArtifact[Tokenizer],
    error: Parameter[str],
    model: OutputArtifact[standard_artifacts.Model],
    model_run: OutputArtifact[standard_artifacts.ModelRun],
) -> None:
    if error:
        raise RuntimeError(error)
    rows = [
        {
            "step": step,
            "train_loss": 3.0 + 5 / (1 + step / 400),
            "val_loss": 3.15 + 4.6 / (1 + step / 420) + max(0, step - 3200) / 9000,
            "examples_per_s": 231.5,
        }
        for step in range(250, 4001, 250)
    ]
    Path(model_run.uri).mkdir(parents=True, exist_ok=True)
    (Path(model_run.uri) / "history.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )


@component
def export(
    model: InputArtifact[standard_artifacts.Model],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    base_model: OutputArtifact[standard_artifacts.Model],
) -> None:
    Path(base_model.uri).mkdir(parents=True, exist_ok=True)


@component
def add_meter(
    model: InputArtifact[standard_artifacts.Model],
    examples: InputArtifact[standard_artifacts.Examples],
    saved_model: Parameter[str],
    metered_model: OutputArtifact[standard_artifacts.Model],
) -> None:
    serving = Path(metered_model.uri) / "Format-Serving"
    shutil.copytree(Path(saved_model) / "Format-Serving", serving)
    MeteringRecord(
        contract_version=1,
        model_family="t5",
        tokenizer_kind="sentencepiece",
        tokenizer_fingerprint=FINGERPRINT,
        vocabulary_size=4000,
        max_input_tokens=40,
        max_output_tokens=8,
        task_prefix="",
        pipeline_run="run",
        spans=(),
        code_version="abc",
    ).save(serving)


@component
def validate_counts(
    model: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[MeterBlessing],
) -> None:
    documents = Check("documents", "input counts equal the library's: held-out texts")
    for number in range(1100):
        documents.equal(f"document {number}", number, number)
    hard = Check("hard texts", "input counts equal the library's: hard texts, limits")
    hard.equal("a NUL", 3, 3)
    blessing.blessed = int(is_blessed([documents, hard]))
    Path(blessing.uri).mkdir(parents=True, exist_ok=True)
    facts = {"model": model.uri, "generated_strings": 1000, "seed": 20}
    write_reports([documents, hard], facts, Path(blessing.uri))


@component
def validate_serving(
    model: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
) -> None:
    report = Report(
        engine="local",
        engine_description="Tallygraph's local model server",
        model_name="summarizer",
        blessed=True,
        reason="9 warm-up requests (21 rows) were answered as by the model itself.",
        requests=9,
        rows=21,
        startup_s=4.2,
    )
    blessing.set_int_custom_property("blessed", int(report.blessed))
    Path(blessing.uri).mkdir(parents=True, exist_ok=True)
    report.save(Path(blessing.uri) / "report.json")


@component
def promote(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    min_gain: Parameter[float],
    blessing: OutputArtifact[PromotionBlessing],
) -> None:
    blessing.model_name = "summarizer"
    if model_blessing.get_int_custom_property("blessed") != 1:
        reason = "It is not registered because Evaluator did not bless it."
        leave_report(blessing, NOT_BLESSED, reason, None, {"refused_by": ["Evaluator"]})
        return
    tags = {"tokenizer_fingerprint": FINGERPRINT, "contract_version": "1"}
    candidate, champion = (
        RegisteredVersion("summarizer", number, model.uri, {"rouge_l_f1": 1.0}, tags)
        for number in (5, 3)
    )
    decision = decide(
        candidate, champion, {"rouge_l_f1": 0.857}, Rules("rouge_l_f1", min_gain=min_gain)
    )
    leave_report(blessing, decision.outcome, decision.reason, candidate, facts_of(decision))


@component
def push(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    meter_blessing: InputArtifact[MeterBlessing],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    promotion_blessing: InputArtifact[PromotionBlessing],
    pushed_model: OutputArtifact[standard_artifacts.PushedModel],
) -> None:
    blessed = promotion_blessing.blessed == 1
    pushed_model.set_int_custom_property("pushed", int(blessed))
    if blessed:
        pushed_model.set_string_custom_property("pushed_destination", "/serving/summarizer/17")
        pushed_model.set_string_custom_property("pushed_version", "17")
