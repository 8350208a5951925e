"""The parameters that are given when a run starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tfx.orchestration.data_types import RuntimeParameter

from pipelines.config import PipelineConfig
from pipelines.layout import OutputLayout

CORPUS: Final = "corpus"
SPAN: Final = "span"
REGISTRY_URI: Final = "registry_uri"
IMAGE: Final = "image"
# Of these three a run's gate decides the values: see `pipelines.kubeflow.gated`.
TODO: Final = "todo"
SPANS: Final = "spans"
START_FROM: Final = "start_from"


@dataclass(frozen=True)
class RunParameter:
    """A parameter of a run: all are strings. One without a default is required."""

    name: str
    default: str | None
    meaning: str

    def as_runtime_parameter(self) -> RuntimeParameter:
        """Return it in the form that a TFX component takes. TFX's compiler leaves out the
        default."""
        return RuntimeParameter(name=self.name, ptype=str)


def decided_by_the_gate(name: str) -> RuntimeParameter:
    """Return one of the gate's output parameters in the form that a TFX component takes."""
    return RuntimeParameter(name=name, ptype=str)


def kubeflow_layout(config: PipelineConfig) -> OutputLayout:
    """Return the paths of a run's results, below the mounted volume."""
    return OutputLayout(Path(config.kubeflow.output), config.pipeline.name)


def run_parameters(config: PipelineConfig) -> dict[str, RunParameter]:
    """Return all parameters of a run, by name."""
    parameters = (
        RunParameter(
            CORPUS,
            config.corpus.path or None,
            "File, folder, glob or {SPAN} pattern of the corpus, as the nodes see it.",
        ),
        RunParameter(
            SPAN,
            "",
            "Spans to read: a number, 5-7, a day (2026-01-31), a schedule's time, latest, or "
            "latest:3 for the newest three; empty for the newest.",
        ),
        RunParameter(
            REGISTRY_URI,
            config.registry.uri or kubeflow_layout(config).registry_uri,
            "Model registry: sqlite:/// of a file on the volume, or the address of an MLflow "
            "server.",
        ),
        RunParameter(IMAGE, config.kubeflow.image, "Container image of every node."),
    )
    return {parameter.name: parameter for parameter in parameters}
