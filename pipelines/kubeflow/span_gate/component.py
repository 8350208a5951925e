"""SpanGate: decides, before anything is trained, whether to train and on which spans."""

from __future__ import annotations

from dataclasses import asdict

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import json_utils

from components.artifacts import GateReport
from components.corpus_example_gen.options import CorpusOptions
from pipelines.drift.config import DriftConfig
from pipelines.kubeflow.span_gate import executor


class SpanGateSpec(ComponentSpec):
    """Channels and parameters of SpanGate."""

    INPUTS: dict[str, ChannelParameter] = {}  # noqa: RUF012  (TFX reads plain class attributes)
    OUTPUTS = {executor.REPORT_KEY: ChannelParameter(type=GateReport)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.CORPUS_KEY: ExecutionParameter(type=str),
        executor.SPAN_KEY: ExecutionParameter(type=str),
        executor.REGISTRY_URI_KEY: ExecutionParameter(type=str),
        executor.MODEL_NAME_KEY: ExecutionParameter(type=str),
        executor.OPTIONS_KEY: ExecutionParameter(type=str),
        executor.DRIFT_KEY: ExecutionParameter(type=str),
        executor.REPORTS_DIR_KEY: ExecutionParameter(type=str),
    }


class SpanGate(BaseComponent):
    """The first node of a run, which decides what `tallygraph run --span` decides before
    training.

    Chooses the spans, asks the model registry for the champion, and compares the new texts
    with those that the champion was trained on (`pipelines.continuous`). If there is nothing to
    do, it succeeds; if drift stops the run, it fails with the reason.

    Output `report` (GateReport): `decision.json`, and `drift.json` if texts were compared.
    Its properties `todo` (``train`` or ``nothing``), `spans` (numbers, such as ``3,4``; empty
    for a corpus without spans) and `start_from` (alias of the version that training starts
    from; empty for random weights) are output parameters of the compiled node as well.
    """

    SPEC_CLASS = SpanGateSpec
    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        corpus: str | RuntimeParameter,
        span: str | RuntimeParameter,
        registry_uri: str | RuntimeParameter,
        model_name: str,
        options: CorpusOptions,
        drift: DriftConfig,
        reports_dir: str,
    ):
        """Wire the component.

        Args:
          corpus: file, folder, glob or pattern with `{SPAN}` or similar.
          span: see `pipelines.kubeflow.span_gate.asked.asked_span`.
          registry_uri: as `components.model_registry.open_registry` takes it.
          model_name: name of the registered model.
          options: format, field names and bounds.
          drift: how much new spans may differ from the champion's, and what happens if they do.
          reports_dir: folder on the mounted volume, because the outputs of a node that fails
            may not be kept.
        """
        super().__init__(
            SpanGateSpec(
                report=types.Channel(type=GateReport),
                corpus=corpus,
                span=span,
                registry_uri=registry_uri,
                model_name=model_name,
                options=json_utils.dumps(options.to_dict()),
                drift=json_utils.dumps(asdict(drift)),
                reports_dir=reports_dir,
            )
        )
