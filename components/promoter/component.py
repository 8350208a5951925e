"""Promoter: keeps the model registry, and decides which model is the champion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from tfx import types
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import MeterBlessing, PromotionBlessing
from components.promoter import executor
from components.promoter.rules import Rules


class PromoterSpec(ComponentSpec):
    """Channels and parameters of Promoter."""

    PARAMETERS = {  # noqa: RUF012  (TFX reads plain class attributes)
        executor.REGISTRY_KEY: ExecutionParameter(type=str),
        executor.MODEL_NAME_KEY: ExecutionParameter(type=str),
        executor.RULES_KEY: ExecutionParameter(type=str),
        executor.NOTES_KEY: ExecutionParameter(type=str),
        executor.EVALUATOR_MODULE_KEY: ExecutionParameter(type=str),
        executor.MOVED_BY_HAND_KEY: ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {  # noqa: RUF012
        executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        executor.MODEL_BLESSING_KEY: ChannelParameter(type=standard_artifacts.ModelBlessing),
        executor.METER_BLESSING_KEY: ChannelParameter(type=MeterBlessing),
        executor.INFRA_BLESSING_KEY: ChannelParameter(type=standard_artifacts.InfraBlessing),
        executor.BASELINE_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {executor.BLESSING_KEY: ChannelParameter(type=PromotionBlessing)}  # noqa: RUF012


class Promoter(BaseBeamComponent):
    """Registers a model that every validator has blessed, and makes the better one champion.

    The champion is compared on the candidate's own test set: with the Evaluator's metrics if it
    was the Evaluator's baseline, else by evaluating it again in the same way.

    Example::

        promoter = Promoter(
            model=meter.outputs["metered_model"],
            examples=example_gen.outputs["examples"],
            evaluation=evaluator.outputs["evaluation"],
            model_blessing=evaluator.outputs["blessing"],
            meter_blessing=meter_validator.outputs["blessing"],
            infra_blessing=serving_validator.outputs["blessing"],
            baseline_model=champion.outputs["model"],
            registry="sqlite:////srv/tallygraph/registry.sqlite",
            model_name="summarizer",
            rules=Rules(metric="rouge_l_f1", min_gain=0.005),
            evaluator_module="pipelines.evaluation.extractors",
        )
        pusher = Pusher(..., promotion_blessing=promoter.outputs["blessing"])

    Output `blessing` (PromotionBlessing): whether the model is the champion now, under which
    version it is registered, and `report.json`, which says why.
    """

    SPEC_CLASS = PromoterSpec
    EXECUTOR_SPEC = BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        evaluation: types.BaseChannel,
        model_blessing: types.BaseChannel,
        meter_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        registry: str,
        model_name: str,
        rules: Rules,
        evaluator_module: str,
        baseline_model: types.BaseChannel | None = None,
        notes: Mapping[str, str] | None = None,
        moved_by_hand: str | None = None,
    ):
        """Wire the component.

        Args:
          model: the metered Model.
          examples: the Evaluator's input; their split `eval` is the test set.
          evaluation: the Evaluator's ModelEvaluation.
          model_blessing: the Evaluator's ModelBlessing.
          meter_blessing: MeterValidator's MeterBlessing.
          infra_blessing: ServingValidator's InfraBlessing.
          registry: see `components.model_registry.open_registry`.
          model_name: name of the model in the registry.
          rules: the conditions for promotion.
          evaluator_module: the Evaluator's `module_path`.
          baseline_model: the Evaluator's; if it is the champion, the champion is not
            evaluated a second time.
          notes: further tags of a version, such as where its report is.
          moved_by_hand: the aliases that people have moved in the registry, for a runner that
            caches: after such a move an earlier decision may no longer be reused.
        """
        super().__init__(
            PromoterSpec(
                model=model,
                examples=examples,
                evaluation=evaluation,
                model_blessing=model_blessing,
                meter_blessing=meter_blessing,
                infra_blessing=infra_blessing,
                baseline_model=baseline_model,
                registry=registry,
                model_name=model_name,
                rules=json.dumps(asdict(rules), sort_keys=True),
                notes=json.dumps(dict(notes or {}), sort_keys=True),
                evaluator_module=evaluator_module,
                moved_by_hand=moved_by_hand,
                blessing=types.Channel(type=PromotionBlessing),
            )
        )
