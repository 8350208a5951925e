"""Promoter that registers a model where it can still be read when the pod is gone."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types.component_spec import ExecutionParameter

from components.promoter import component as promoter
from pipelines.kubeflow.promoter import executor


class PromoterSpec(promoter.PromoterSpec):
    """Promoter's, with a folder of the mounted volume."""

    PARAMETERS = {  # noqa: RUF012  (TFX reads plain class attributes)
        **promoter.PromoterSpec.PARAMETERS,
        executor.MODELS_DIR_KEY: ExecutionParameter(type=str),
    }


class Promoter(promoter.Promoter):
    """As `components.promoter`; a model that is registered is first copied to the volume.

    The artifact itself lies in the object store, and in the pod only below a folder of the
    launcher's: no place that a registry could name.
    """

    EXECUTOR_SPEC = BeamExecutorSpec(executor.Executor)
    spec: Any  # set by the parent's constructor

    def __init__(self, models_dir: str, **promoter_arguments: Any):
        """Wire the component.

        Args:
          models_dir: folder that every pod sees at the same path.
          promoter_arguments: as the parent's.
        """
        super().__init__(**promoter_arguments)
        parent = self.spec
        self.spec = PromoterSpec(
            **parent.inputs, **parent.outputs, **parent.exec_properties, models_dir=models_dir
        )
