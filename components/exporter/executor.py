"""The work of Exporter: call the pipeline's function, and check that it exported something."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.util import udf_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tokenizer.contract import BaseModelSpec

MODEL_KEY: Final = "model"
TRANSFORM_GRAPH_KEY: Final = "transform_graph"
BASE_MODEL_KEY: Final = "base_model"
EXPORT_FN_KEY: Final = "export_fn"
CUSTOM_CONFIG_KEY: Final = "custom_config"


@dataclass(frozen=True, slots=True)
class ExportArguments:
    """What an `export_fn` is given.

    Attributes:
      trained_model_dir: what Trainer's `run_fn` wrote to its `serving_model_dir`.
      transform_output: folder of the TransformGraph.
      base_model_dir: where to write the SavedModel; does not exist yet.
      custom_config: settings of the component.
    """

    trained_model_dir: Path
    transform_output: Path
    base_model_dir: Path
    custom_config: Mapping[str, Any]


class Executor(BaseExecutor):
    """Exports a base model by the pipeline's own function."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the base model.

        Args:
          input_dict: `model`: Trainer's Model; `transform_graph`: a TransformGraph.
          output_dict: `base_model`: an empty Model.
          exec_properties: `export_fn`, an import path; `custom_config`, JSON.

        Raises:
          ContractError: the function left no description of a base model.
          Exception: whatever `export_fn` raises.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        trained = artifact_utils.get_single_uri(input_dict[MODEL_KEY])
        exported = artifact_utils.get_single_uri(output_dict[BASE_MODEL_KEY])
        export_fn = udf_utils.get_fn(exec_properties, EXPORT_FN_KEY)
        arguments = ExportArguments(
            trained_model_dir=Path(path_utils.serving_model_dir(trained)),
            transform_output=Path(
                artifact_utils.get_single_uri(input_dict[TRANSFORM_GRAPH_KEY])
            ),
            base_model_dir=Path(path_utils.serving_model_dir(exported)),
            custom_config=json.loads(exec_properties[CUSTOM_CONFIG_KEY]),
        )
        export_fn(arguments)
        BaseModelSpec.load(arguments.base_model_dir)
        logging.info("Base model written to %s.", arguments.base_model_dir)
