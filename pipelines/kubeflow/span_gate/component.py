"""SpanGate: decides, before anything is trained, whether to train and on what."""

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
    """The first node of a run: what `tallygraph run --span` finds out before it trains.

    Chooses the spans, asks the model registry for the champion, and compares the new texts
    with those that the champion was trained on (`pipelines.continuous`). Nothing to do ends it
    well; a stop by drift fails it with the reason.

    Output `report` (GateReport): `decision.json`, and `drift.json` where texts were compared.
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
          corpus: file, folder, glob or pattern with `{SPAN}` and its like.
          span: see `pipelines.kubeflow.span_gate.asked.asked_span`.
          registry_uri: as `components.model_registry.open_registry` takes it.
          model_name: name of the registered model.
          options: format, field names and bounds.
          drift: how far new spans may be from the champion's, and what then.
          reports_dir: folder of the mounted volume: what a node that fails leaves in its
            outputs need not be kept.
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
