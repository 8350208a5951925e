"""Pusher: TFX's Pusher, made atomic and also gated by MeterValidator's and Promoter's
blessings."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.pusher import component as tfx_pusher
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.artifacts import MeterBlessing, PromotionBlessing
from components.pusher import executor

METER_BLESSING_KEY = executor.METER_BLESSING_KEY
PROMOTION_BLESSING_KEY = executor.PROMOTION_BLESSING_KEY


class PusherSpec(standard_component_specs.PusherSpec):
    """TFX's PusherSpec with two more blessings, and a rule for old versions."""

    PARAMETERS = {  # noqa: RUF012  (TFX reads plain class attributes)
        **standard_component_specs.PusherSpec.PARAMETERS,
        executor.KEEP_VERSIONS_KEY: ExecutionParameter(type=int),
    }

    INPUTS = {  # noqa: RUF012  (TFX reads plain class attributes)
        **standard_component_specs.PusherSpec.INPUTS,
        METER_BLESSING_KEY: ChannelParameter(type=MeterBlessing),
        PROMOTION_BLESSING_KEY: ChannelParameter(type=PromotionBlessing),
    }


class Pusher(tfx_pusher.Pusher):
    """Copies the champion to the folder that model servers poll, if every validator blessed it.

    A new version appears there by one rename: a server never sees half of one, even if
    the push is killed. A model that is already the newest version is not pushed twice.

    Example::

        pusher = Pusher(
            model=meter.outputs["metered_model"],
            model_blessing=evaluator.outputs["blessing"],
            meter_blessing=meter_validator.outputs["blessing"],
            infra_blessing=serving_validator.outputs["blessing"],
            promotion_blessing=promoter.outputs["blessing"],
            base_directory="build/serving/summarizer",
        )

    Output `pushed_model` (PushedModel): custom properties `pushed` (0 or 1),
    `pushed_destination` and `pushed_version`, as TFX's Pusher sets them.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    spec: Any  # set by TFX's constructor

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        meter_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        promotion_blessing: types.BaseChannel,
        base_directory: str,
        keep_versions: int = 0,
    ):
        """Wire the component.

        Args:
          model: the metered Model.
          model_blessing: the Evaluator's ModelBlessing.
          meter_blessing: MeterValidator's MeterBlessing.
          infra_blessing: ServingValidator's InfraBlessing.
          promotion_blessing: Promoter's PromotionBlessing; also says which version of the
            model registry the pushed one is.
          base_directory: folder of the served model; versions are folders in it.
          keep_versions: number of versions without a label in the servers' model config that
            stay after a push; the others are deleted. 0 deletes nothing.
        """
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=base_directory)
            ),
        )
        # The parent builds its own spec and knows nothing of these two blessings.
        parent = self.spec
        self.spec = PusherSpec(
            **parent.inputs,
            **parent.outputs,
            **parent.exec_properties,
            meter_blessing=meter_blessing,
            promotion_blessing=promotion_blessing,
            keep_versions=keep_versions,
        )
