"""ServingValidator: checks that a model server loads the model and returns the model's own
outputs."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.serving_validator import executor
from serving.engines import IMAGE


class ServingValidatorSpec(types.ComponentSpec):
    """Channels and parameters of ServingValidator."""

    PARAMETERS = {  # noqa: RUF012  (TFX reads plain class attributes)
        executor.MODEL_NAME_KEY: ExecutionParameter(type=str),
        executor.ENGINE_KEY: ExecutionParameter(type=str),
        executor.BINARY_KEY: ExecutionParameter(type=str),
        executor.IMAGE_KEY: ExecutionParameter(type=str),
        executor.TIMEOUT_KEY: ExecutionParameter(type=int),
        executor.XLA_KEY: ExecutionParameter(type=int),
    }
    INPUTS = {  # noqa: RUF012
        executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {  # noqa: RUF012
        executor.BLESSING_KEY: ChannelParameter(type=standard_artifacts.InfraBlessing),
    }


class ServingValidator(base_component.BaseComponent):
    """Starts a model server on the layout that would be pushed and replays the warm-up.

    The server is a separate process. The model is blessed if it becomes AVAILABLE, has the
    signatures of the counting contract, and returns for every warm-up request, over gRPC and
    over REST, exactly what the model returns when it is called in this process.

    Minimal example::

        validator = ServingValidator(model=meter.outputs["metered_model"])

    Full example::

        validator = ServingValidator(
            model=meter.outputs["metered_model"],
            model_name="summarizer",
            engine="binary",
            binary="/opt/tensorflow_model_server",
            timeout_s=300,
        )
        pusher = Pusher(..., infra_blessing=validator.outputs["blessing"])

    Output `blessing` (InfraBlessing): custom property `blessed` (0 or 1) and the file that
    TFX's Pusher looks for; custom property `engine`; `report.json`, which says what was
    requested, and what was expected and received if they differ. A model that fails is not an
    error: the run continues to a Pusher that pushes nothing.
    """

    SPEC_CLASS = ServingValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_name: str = "summarizer",
        engine: str = "auto",
        binary: str = "",
        image: str = IMAGE,
        timeout_s: int = 600,
        xla: bool = False,
    ):
        """Wire the component.

        Args:
          model: the metered Model.
          model_name: the name that the model will be served under.
          engine: `local`, `binary` (a real tensorflow_model_server), `docker` (its image),
            or `auto` for the best one that the machine has.
          binary: path of tensorflow_model_server; empty: it is searched on PATH.
          image: Docker image of TensorFlow Serving.
          timeout_s: longest wait for AVAILABLE, and for each response.
          xla: start the server with --xla_cpu_compilation_enabled=true.
        """
        super().__init__(
            ServingValidatorSpec(
                model=model,
                model_name=model_name,
                engine=engine,
                binary=binary,
                image=image,
                timeout_s=timeout_s,
                xla=int(xla),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
