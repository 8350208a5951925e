"""ChampionLookup: finds the champion in the model registry by its alias."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Model

from components.champion_lookup import executor
from components.model_registry.port import CHAMPION


class ChampionLookupSpec(ComponentSpec):
    """Channels and parameters of ChampionLookup."""

    INPUTS: dict[str, ChannelParameter] = {}  # noqa: RUF012  (TFX reads plain class attributes)
    OUTPUTS = {executor.MODEL_KEY: ChannelParameter(type=Model)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.REGISTRY_URI_KEY: ExecutionParameter(type=str),
        executor.MODEL_NAME_KEY: ExecutionParameter(type=str),
        executor.ALIAS_KEY: ExecutionParameter(type=str),
    }


class ChampionLookup(BaseComponent):
    """Outputs the registered version that has an alias.

    For runners that cannot run TFX's resolvers: those ask the runner's own metadata store,
    which a container on a cluster does not reach. The registry also knows of a rollback,
    which the metadata does not.

    Example::

        champion = ChampionLookup(
            registry_uri="sqlite:////mnt/tallygraph/registry.db", model_name="summarizer"
        )
        evaluator = Evaluator(..., baseline_model=champion.outputs["model"])

    Output `model` (Model): a copy of the champion, with the custom properties
    `registered_name` and `registered_version`. A component must have an output: if there is no
    champion, its custom property `absent` is 1, its folder contains only a note, and readers
    must treat it as no model.
    """

    SPEC_CLASS = ChampionLookupSpec
    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        registry_uri: str | RuntimeParameter,
        model_name: str,
        alias: str | RuntimeParameter = CHAMPION,
    ):
        """Wire the component.

        Args:
          registry_uri: as `components.model_registry.open_registry` takes it.
          model_name: name of the registered model.
          alias: of the requested version; no version has an empty alias.
        """
        super().__init__(
            ChampionLookupSpec(
                model=types.Channel(type=Model),
                registry_uri=registry_uri,
                model_name=model_name,
                alias=alias,
            )
        )
