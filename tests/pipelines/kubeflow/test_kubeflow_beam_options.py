"""Beam's options of the settings, in the compiled pipeline and on their way to an executor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from pipelines.config import load_config
from pipelines.kubeflow.compile import compile_pipeline
from tests.pipelines.kubeflow.kubeflow_server import UploadedPipeline, upload

CONFIG = Path(__file__).parents[3] / "configs" / "kubeflow.toml"
ENGINES = {
    "DataflowRunner": [
        "--runner=DataflowRunner",
        "--project=acme",
        "--region=europe-west1",
        "--temp_location=gs://acme/tmp",
        "--sdk_container_image=tallygraph/pipeline:0.1.0",
    ],
    "FlinkRunner": [
        "--runner=FlinkRunner",
        "--flink_master=flink:8081",
        "--environment_type=EXTERNAL",
        "--environment_config=localhost:50000",
    ],
    "SparkRunner": [
        "--runner=SparkRunner",
        "--spark_master_url=spark://spark:7077",
        "--environment_type=DOCKER",
        "--environment_config=tallygraph/pipeline:0.1.0",
    ],
}


def compiled(options: list[str]) -> UploadedPipeline:
    setting = f"pipeline.beam_args={json.dumps(options)}"
    return upload(compile_pipeline(load_config(CONFIG, [setting])))


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_node_gets_the_options_as_they_were_written_and_last(engine: str) -> None:
    pipeline = compiled(ENGINES[engine])
    nodes = list(pipeline.tasks)
    assert {"CorpusExampleGen", "StatisticsGen", "Transform", "Evaluator"} <= set(nodes)
    for node in nodes:
        arguments = list(pipeline.container(node).args)
        assert arguments[-len(ENGINES[engine]) :] == ENGINES[engine]
        # Of two runners Beam takes the later.
        assert PipelineOptions(arguments).view_as(StandardOptions).runner == engine


def test_beam_understands_what_it_is_given() -> None:
    arguments = list(compiled(ENGINES["DataflowRunner"]).container("Transform").args)
    cloud = PipelineOptions(arguments).view_as(GoogleCloudOptions)
    assert (cloud.project, cloud.region) == ("acme", "europe-west1")
    assert cloud.temp_location == "gs://acme/tmp"
    arguments = list(compiled(ENGINES["FlinkRunner"]).container("Transform").args)
    portable = PipelineOptions(arguments).view_as(PortableOptions)
    assert portable.environment_type == "EXTERNAL"
    assert portable.environment_config == "localhost:50000"


def test_without_options_beam_runs_in_the_nodes_container() -> None:
    arguments = list(compiled([]).container("Transform").args)
    runner = PipelineOptions(arguments).view_as(StandardOptions).runner
    assert runner.endswith("FnApiRunner")
