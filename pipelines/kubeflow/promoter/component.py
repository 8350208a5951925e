"""Promoter that registers a model at a location that outlives the pod."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types.component_spec import ExecutionParameter

from components.promoter import component as promoter
from pipelines.kubeflow.promoter import executor


class PromoterSpec(promoter.PromoterSpec):
    """Promoter's spec, with a folder on the mounted volume."""

    PARAMETERS = {  # noqa: RUF012  (TFX reads plain class attributes)
        **promoter.PromoterSpec.PARAMETERS,
        executor.MODELS_DIR_KEY: ExecutionParameter(type=str),
    }


class Promoter(promoter.Promoter):
    """As `components.promoter`; a model that is registered is first copied to the volume.

    The artifact itself is in the object store, and in the pod only below one of the launcher's
    folders, which a registry could not refer to.
    """

    EXECUTOR_SPEC = BeamExecutorSpec(executor.Executor)
    spec: Any  # set by the parent's constructor

    def __init__(self, models_dir: str, **promoter_arguments: Any):
        """Wire the component.

        Args:
          models_dir: folder that every pod sees at the same path.
          promoter_arguments: as in the parent class.
        """
        super().__init__(**promoter_arguments)
        parent = self.spec
        self.spec = PromoterSpec(
            **parent.inputs, **parent.outputs, **parent.exec_properties, models_dir=models_dir
        )
