"""MeterValidator: proves that a metered model's counts are right."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model

from components.artifacts import MeterBlessing, Tokenizer
from components.meter_validator import executor

_SEED = 20_260_101


class MeterValidatorSpec(ComponentSpec):
    """Channels and parameters of MeterValidator."""

    INPUTS = {  # noqa: RUF012  (TFX reads plain class attributes)
        executor.MODEL_KEY: ChannelParameter(type=Model),
        executor.TOKENIZER_KEY: ChannelParameter(type=Tokenizer),
        executor.EXAMPLES_KEY: ChannelParameter(type=Examples),
    }
    OUTPUTS = {executor.BLESSING_KEY: ChannelParameter(type=MeterBlessing)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.DOCUMENTS_KEY: ExecutionParameter(type=int),
        executor.GENERATED_STRINGS_KEY: ExecutionParameter(type=int),
        executor.SEED_KEY: ExecutionParameter(type=int),
        executor.DECODED_IDS_KEY: ExecutionParameter(type=int),
        executor.XLA_KEY: ExecutionParameter(type=int),
    }


class MeterValidator(BaseComponent):
    """Checks a metered model against the counting contract, independently of this project's
    code.

    The counts of held-out documents, of hard texts (invalid UTF-8, joiners, right-to-left,
    a megabyte, exactly the limit …) and of generated strings must equal those of the
    tokenizer's own library; a row's output must be the same alone and in batches of up to 32;
    limits must apply to each row; the graph must contain nothing that a stock model server
    refuses; `metering.json` must be correct. Counts are checked for all texts, outputs for as
    many as `decoded_ids` allows.

    Minimal example::

        meter_validator = MeterValidator(
            model=meter.outputs["metered_model"],
            tokenizer=tokenizer_trainer.outputs["tokenizer"],
            examples=example_gen.outputs["examples"],
        )

    Output `blessing` (MeterBlessing): property `blessed`; in its folder `report.md`,
    `report.json` and the file `BLESSED` or `NOT_BLESSED`. A model that fails is not blessed;
    the node itself fails only if its inputs cannot be read.
    """

    SPEC_CLASS = MeterValidatorSpec
    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        tokenizer: types.BaseChannel,
        examples: types.BaseChannel,
        documents: int = 64,
        generated_strings: int = 10_000,
        seed: int = _SEED,
        decoded_ids: int = 20_000,
        xla: bool = False,
    ):
        """Wire the component.

        Args:
          model: the metered Model.
          tokenizer: the Tokenizer whose counts the model must have.
          examples: Examples whose split `eval` contains the held-out documents.
          documents: number of these that are counted.
          generated_strings: number of strings that are generated and counted; 0: none.
          seed: of the generator.
          decoded_ids: ids that all answers together may decode, times beams; the answers of two
            texts are checked whatever they cost.
          xla: whether the server will be started with --xla_cpu_compilation_enabled=true.
            Without it a model that needs XLA is refused.
        """
        super().__init__(
            MeterValidatorSpec(
                model=model,
                tokenizer=tokenizer,
                examples=examples,
                blessing=types.Channel(type=MeterBlessing),
                documents=documents,
                generated_strings=generated_strings,
                seed=seed,
                decoded_ids=decoded_ids,
                xla=int(xla),
            )
        )
