"""The work of ServingValidator: test the model, and write the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.serving_validator.validation import validate_model
from serving.engines import IMAGE, choose_engine

MODEL_KEY = "model"
BLESSING_KEY = "blessing"
MODEL_NAME_KEY = "model_name"
ENGINE_KEY = "engine"
BINARY_KEY = "binary"
IMAGE_KEY = "image"
TIMEOUT_KEY = "timeout_s"
XLA_KEY = "xla"

# As TFX's InfraValidator leaves them for Pusher.
BLESSED_FILE = "INFRA_BLESSED"
NOT_BLESSED_FILE = "INFRA_NOT_BLESSED"
BLESSED_PROPERTY = "blessed"
ENGINE_PROPERTY = "engine"
REPORT_FILE = "report.json"


class Executor(base_executor.BaseExecutor):
    """Executor of ServingValidator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validate a model on a model server.

        Args:
          input_dict: `model`, one Model.
          output_dict: `blessing`, one InfraBlessing; gets its file, its properties `blessed`
            and `engine`, and `report.json`.
          exec_properties: `model_name`, `engine`, `binary` (empty for the one on PATH),
            `image`, `timeout_s`, `xla` (0 or 1).

        Raises:
          EngineError: the requested engine does not exist on this machine. A model that fails
            is not an error.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        engine = choose_engine(
            exec_properties[ENGINE_KEY],
            exec_properties[BINARY_KEY] or None,
            exec_properties.get(IMAGE_KEY) or IMAGE,
        )
        logging.info("Validating with %s", engine.description)
        report = validate_model(
            Path(path_utils.serving_model_path(model.uri)),
            exec_properties[MODEL_NAME_KEY],
            engine,
            float(exec_properties[TIMEOUT_KEY]),
            xla=bool(exec_properties.get(XLA_KEY)),
        )
        folder = Path(blessing.uri)
        folder.mkdir(parents=True, exist_ok=True)
        report.save(folder / REPORT_FILE)
        (folder / (BLESSED_FILE if report.blessed else NOT_BLESSED_FILE)).touch()
        blessing.set_int_custom_property(BLESSED_PROPERTY, int(report.blessed))
        blessing.set_string_custom_property(ENGINE_PROPERTY, report.engine)
        log = logging.info if report.blessed else logging.error
        log("ServingValidator: %s See %s", report.reason, folder / REPORT_FILE)
