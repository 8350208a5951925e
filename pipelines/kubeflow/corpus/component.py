"""CorpusExampleGen whose corpus is found when the node runs, not when it is defined."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs as specs
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.corpus_example_gen.custom_config import custom_config
from components.corpus_example_gen.options import CorpusOptions
from pipelines.kubeflow.corpus import executor


class CorpusExampleGenSpec(ComponentSpec):
    """Channels and parameters of this CorpusExampleGen."""

    INPUTS: dict[str, ChannelParameter] = {}  # noqa: RUF012  (TFX reads plain class attributes)
    OUTPUTS = {specs.EXAMPLES_KEY: ChannelParameter(type=Examples)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.CORPUS_KEY: ExecutionParameter(type=str),
        executor.SPANS_KEY: ExecutionParameter(type=str),
        executor.EVAL_FRACTION_KEY: ExecutionParameter(type=float),
        executor.SPLIT_KEY: ExecutionParameter(type=str, optional=True),
        specs.CUSTOM_CONFIG_KEY: ExecutionParameter(type=example_gen_pb2.CustomConfig),
        specs.OUTPUT_DATA_FORMAT_KEY: ExecutionParameter(type=int),
        specs.OUTPUT_FILE_FORMAT_KEY: ExecutionParameter(type=int),
    }


class CorpusExampleGen(BaseBeamComponent):
    """As `components.corpus_example_gen`, with corpus and spans as parameters of the run.

    TFX resolves spans and fingerprints in a driver, which open-source Kubeflow never runs;
    here the executor does both before it reads, and notes them on `examples` as the driver
    would: custom properties `span`, `version` and `input_fingerprint`. Of several spans `span`
    is the newest, and `spans` names them all.
    """

    SPEC_CLASS = CorpusExampleGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        corpus: str | RuntimeParameter,
        spans: str | RuntimeParameter,
        options: CorpusOptions,
        eval_fraction: float,
        split: str | None = None,
    ):
        """Wire the component.

        Args:
          corpus: file, folder, glob or pattern with `{SPAN}` or similar.
          spans: numbers of the spans to read together, such as `3,4`; empty for the newest, and
            for a corpus without spans.
          options: format, field names and bounds.
          eval_fraction: share of the documents held out if the corpus has no splits.
          split: put everything into this one.
        """
        super().__init__(
            CorpusExampleGenSpec(
                corpus=corpus,
                spans=spans,
                eval_fraction=eval_fraction,
                split=split,
                custom_config=custom_config(options),
                output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
                output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
                examples=types.Channel(type=Examples),
            )
        )
