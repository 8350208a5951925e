"""Meter: adds the counting ops and signatures to a trained model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model

from components.meter import executor


class MeterSpec(ComponentSpec):
    """Channels and parameters of Meter."""

    INPUTS = {  # noqa: RUF012  (TFX reads plain class attributes)
        executor.MODEL_KEY: ChannelParameter(type=Model),
        executor.EXAMPLES_KEY: ChannelParameter(type=Examples),
    }
    OUTPUTS = {executor.METERED_MODEL_KEY: ChannelParameter(type=Model)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.MODEL_NAME_KEY: ExecutionParameter(type=str),
        executor.WARMUP_DOCUMENTS_KEY: ExecutionParameter(type=int),
        executor.WARMUP_IDS_KEY: ExecutionParameter(type=int),
        executor.SPANS_KEY: ExecutionParameter(type=str),
        executor.CODE_VERSION_KEY: ExecutionParameter(type=str),
    }


class Meter(BaseComponent):
    """Turns a base model into one that counts its own tokens in the graph.

    `tokenizer.contract.BaseModelSpec` defines what a base model is, and the docstring of that
    module what a metered model guarantees.

    Minimal example::

        meter = Meter(
            model=exporter.outputs["base_model"],
            examples=example_gen.outputs["examples"],
            model_name="summarizer",
        )

    Output `metered_model` (Model): a SavedModel with the signatures `serving_default`,
    `summarize` and `count_tokens`; in `assets.extra`, beside the base model's own files,
    `metering.json` and `tf_serving_warmup_requests`.
    """

    SPEC_CLASS = MeterSpec
    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        model_name: str,
        warmup_documents: int = 4,
        warmup_ids: int = 2_000,
        spans: Sequence[int] = (),
        code_version: str = "",
    ):
        """Wire the component.

        The id of the pipeline's run, which `metering.json` also records, comes from the
        executor's context: a node with a parameter that changes at each run would never be
        cached.

        Args:
          model: a Model with a base SavedModel.
          examples: Examples whose split `eval` contains the texts of the warm-up requests.
          model_name: name that the model will be served under.
          warmup_documents: maximum number of texts; at least 1.
          warmup_ids: number of ids, times beams, that all requests together may decode; one
            text is used whatever it costs.
          spans: spans of the corpus, for the record; empty takes them from `examples`.
          code_version: of the code that trained the model, for the record.
        """
        super().__init__(
            MeterSpec(
                model=model,
                examples=examples,
                metered_model=types.Channel(type=Model),
                model_name=model_name,
                warmup_documents=warmup_documents,
                warmup_ids=warmup_ids,
                spans=json.dumps(list(spans)),
                code_version=code_version,
            )
        )
