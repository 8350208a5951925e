"""The gate, in the compiled pipeline: held to what kfp's own compiler makes of `dsl.If`."""

import re
from pathlib import Path

import pytest
import yaml

from kfp import compiler, dsl
from pipelines.config import load_config
from pipelines.kubeflow.compile import compile_pipeline
from tests.pipelines.kubeflow.kubeflow_server import UploadedPipeline, upload

CONFIG = Path(__file__).parents[3] / "configs" / "kubeflow.toml"


@pytest.fixture(scope="module")
def pipeline() -> UploadedPipeline:
    return upload(compile_pipeline(load_config(CONFIG)))


@pytest.fixture(scope="module")
def of_kfp(tmp_path_factory: pytest.TempPathFactory) -> UploadedPipeline:
    """What kfp compiles of a gate and of two nodes behind it."""

    @dsl.container_component
    def gate(
        corpus: str,
        todo: dsl.OutputPath(str),  # type: ignore[valid-type]  # kfp's way to say it
        spans: dsl.OutputPath(str),  # type: ignore[valid-type]
    ) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="image", args=[corpus, todo, spans])

    @dsl.container_component
    def read(corpus: str, spans: str, examples: dsl.Output[dsl.Artifact]) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="image", args=[corpus, spans, examples.path])

    @dsl.container_component
    def train(examples: dsl.Input[dsl.Artifact]) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="image", args=[examples.path])

    @dsl.pipeline(name="library")
    def library(corpus: str) -> None:
        decided = gate(corpus=corpus)
        with dsl.If(decided.outputs["todo"] == "train", name="Training"):
            train(examples=read(corpus=corpus, spans=decided.outputs["spans"]).output)

    file = tmp_path_factory.mktemp("library") / "library.yaml"
    compiler.Compiler().compile(library, str(file))
    (document,) = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    # kfp makes up names for what passes into a condition; ours are those of the gate's outputs.
    text = yaml.safe_dump(document)
    text = text.replace("condition-1", "Training").replace("comp-Training", "Training")
    text = re.sub(r"pipelinechannel--(gate-)?", "", text)
    return upload(text)


def test_the_task_behind_the_gate_is_what_kfp_makes_of_a_condition(
    pipeline: UploadedPipeline, of_kfp: UploadedPipeline
) -> None:
    ours, theirs = (each.dag().tasks["Training"] for each in (pipeline, of_kfp))
    assert ours.trigger_policy == theirs.trigger_policy
    assert ours.component_ref == theirs.component_ref
    assert ours.task_info == theirs.task_info
    assert list(ours.dependent_tasks) == ["SpanGate"]
    assert list(theirs.dependent_tasks) == ["gate"]
    for name, given in theirs.inputs.parameters.items():
        mine = ours.inputs.parameters[name]
        if mine.task_output_parameter.producer_task:
            mine.task_output_parameter.producer_task = "gate"
        assert mine == given, name
    # And no field is set that kfp leaves out.
    assert {field.name for field, _ in ours.ListFields()} == {
        field.name for field, _ in theirs.ListFields()
    }


def test_the_pipeline_behind_it_has_inputs_as_kfp_declares_them(
    pipeline: UploadedPipeline, of_kfp: UploadedPipeline
) -> None:
    ours, theirs = (each.spec.components["Training"] for each in (pipeline, of_kfp))
    assert set(theirs.input_definitions.parameters) == {"todo", "corpus", "spans"}
    for name, declared in theirs.input_definitions.parameters.items():
        assert ours.input_definitions.parameters[name] == declared
    assert {field.name for field, _ in ours.ListFields()} == {
        field.name for field, _ in theirs.ListFields()
    }
    read, theirs_read = ours.dag.tasks["CorpusExampleGen"], theirs.dag.tasks["read"]
    for name, given in theirs_read.inputs.parameters.items():
        assert read.inputs.parameters[name] == given
    gate = pipeline.component("SpanGate").output_definitions.parameters
    for name, declared in of_kfp.component("gate").output_definitions.parameters.items():
        assert gate[name] == declared


def test_nothing_but_the_gate_is_before_it(pipeline: UploadedPipeline) -> None:
    assert set(pipeline.dag().tasks) == {"SpanGate", "Training"}
    assert "SpanGate" not in pipeline.dag("Training").tasks
    assert len(pipeline.dag("Training").tasks) == 16
    # What the gate decides is no parameter of a run.
    assert set(pipeline.spec.root.input_definitions.parameters) == {
        "corpus",
        "span",
        "registry_uri",
        "image",
    }
