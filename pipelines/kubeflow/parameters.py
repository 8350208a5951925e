"""What is said when a run starts, and not before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tfx.orchestration.data_types import RuntimeParameter

from pipelines.config import PipelineConfig

CORPUS: Final = "corpus"
SPAN: Final = "span"
REGISTRY_URI: Final = "registry_uri"
IMAGE: Final = "image"


@dataclass(frozen=True)
class RunParameter:
    """A parameter of a run: all are strings. Without a default it has to be given."""

    name: str
    default: str | None
    meaning: str

    def as_runtime_parameter(self) -> RuntimeParameter:
        """As a TFX component takes it. TFX's compiler leaves the default out."""
        return RuntimeParameter(name=self.name, ptype=str)


def run_parameters(config: PipelineConfig) -> dict[str, RunParameter]:
    """All parameters of a run, by name."""
    parameters = (
        RunParameter(
            CORPUS,
            config.corpus.path or None,
            "File, folder, glob or {SPAN} pattern of the corpus, as the nodes see it.",
        ),
        RunParameter(
            SPAN,
            "",
            "Span to read: a number, a day (2026-01-31) or a schedule's time; empty for the "
            "newest.",
        ),
        RunParameter(
            REGISTRY_URI,
            config.kubeflow.registry_uri,
            "Model registry that the champion is asked from; empty for none.",
        ),
        RunParameter(IMAGE, config.kubeflow.image, "Container image of every node."),
    )
    return {parameter.name: parameter for parameter in parameters}
