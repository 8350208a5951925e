"""TokenizerTrainer that can take over the champion's tokenizer."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.component_spec import ChannelParameter
from tfx.types.standard_artifacts import Model

from components.tokenizer_trainer import component as tokenizer_trainer
from pipelines.kubeflow.tokenizer_trainer import executor


class TokenizerTrainerSpec(tokenizer_trainer.TokenizerTrainerSpec):
    """TokenizerTrainer's spec, with the champion."""

    INPUTS = {  # noqa: RUF012  (TFX reads plain class attributes)
        **tokenizer_trainer.TokenizerTrainerSpec.INPUTS,
        executor.CHAMPION_KEY: ChannelParameter(type=Model),
    }


class TokenizerTrainer(tokenizer_trainer.TokenizerTrainer):
    """As `components.tokenizer_trainer`, pinned to the champion's tokenizer.

    The champion is known only during the run; if there is none yet, a tokenizer is trained.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)
    spec: Any  # set by the parent's constructor

    def __init__(self, champion: types.BaseChannel, **trainer_arguments: Any):
        """Wire the component.

        Args:
          champion: output of ChampionLookup.
          trainer_arguments: as in the parent class.
        """
        super().__init__(**trainer_arguments)
        parent = self.spec
        self.spec = TokenizerTrainerSpec(
            **parent.inputs, **parent.outputs, **parent.exec_properties, champion=champion
        )
