"""Exporter: makes a base SavedModel of trained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model, TransformGraph

from components.exporter import executor


class ExporterSpec(ComponentSpec):
    """Channels and parameters of Exporter."""

    INPUTS = {  # noqa: RUF012  (TFX reads plain class attributes)
        executor.MODEL_KEY: ChannelParameter(type=Model),
        executor.TRANSFORM_GRAPH_KEY: ChannelParameter(type=TransformGraph),
        executor.EXAMPLES_KEY: ChannelParameter(type=Examples, optional=True),
    }
    OUTPUTS = {executor.BASE_MODEL_KEY: ChannelParameter(type=Model)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.EXPORT_FN_KEY: ExecutionParameter(type=str),
        executor.CUSTOM_CONFIG_KEY: ExecutionParameter(type=str),
    }


class Exporter(BaseComponent):
    """Exports trained weights with a way of decoding them.

    It is a node of its own so that the weights do not depend on how they are decoded: with
    other decoding settings this node and what follows it run again, and Trainer does not.
    As Trainer has its `run_fn`, this component calls a function of the pipeline's, because
    only that knows its models.

    Minimal example::

        exporter = Exporter(
            model=trainer.outputs["model"],
            transform_graph=transform.outputs["transform_graph"],
            export_fn="pipelines.exporting.run.export_fn",
            custom_config={"model": {"max_input_tokens": 64, "max_output_tokens": 20}},
        )

    Output `base_model` (Model): a SavedModel as `tokenizer.contract.BaseModelSpec` describes
    it.
    """

    SPEC_CLASS = ExporterSpec
    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        transform_graph: types.BaseChannel,
        export_fn: str,
        custom_config: Mapping[str, Any],
        examples: types.BaseChannel | None = None,
    ):
        """Wire the component.

        Args:
          model: Trainer's Model: whatever `export_fn` reads weights from.
          transform_graph: the TransformGraph that makes ids of texts.
          export_fn: import path of a function that takes `ExportArguments`.
          custom_config: settings for it, as JSON has them.
          examples: Examples with an `eval` split of documents and summaries, for an export that
            measures what it cost: its ids differ from training's.
        """
        super().__init__(
            ExporterSpec(
                model=model,
                transform_graph=transform_graph,
                examples=examples,
                base_model=types.Channel(type=Model),
                export_fn=export_fn,
                custom_config=json.dumps(custom_config, sort_keys=True),
            )
        )
