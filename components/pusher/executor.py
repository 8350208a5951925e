"""The work of Pusher: check four blessings, then publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.components.pusher import executor as tfx_executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import proto_utils

from components.model_registry import RegistryError, open_registry
from components.model_registry.pushed import note_pushed
from components.pusher.publish import publish_version
from serving.engines import default_model_config
from serving.model_config import ModelConfigError, ModelConfigFile
from serving.rollout import RolloutError, prune

METER_BLESSING_KEY = "meter_blessing"
PROMOTION_BLESSING_KEY = "promotion_blessing"
KEEP_VERSIONS_KEY = "keep_versions"


class Executor(tfx_executor.Executor):
    """Pushes to a folder of a local or mounted file system."""

    def CheckBlessing(self, input_dict: dict[str, list[types.Artifact]]) -> bool:
        """Return whether every validator blessed the model and it is the champion."""
        blessing = artifact_utils.get_single_instance(input_dict[METER_BLESSING_KEY])
        if not blessing.blessed:
            logging.info("MeterValidator did not bless the model: see %s", blessing.uri)
            return False
        promotion = artifact_utils.get_single_instance(input_dict[PROMOTION_BLESSING_KEY])
        if not promotion.blessed:
            logging.info("The model is not the champion: see %s", promotion.uri)
            return False
        blessed: bool = super().CheckBlessing(input_dict)
        return blessed

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Push the model if it is blessed.

        Args:
          input_dict: `model`, `model_blessing`, `meter_blessing`, `infra_blessing`,
            `promotion_blessing`.
          output_dict: `pushed_model`; its properties say whether, where and as what.
          exec_properties: `push_destination`, a PushDestination proto as JSON;
            `keep_versions`, number of versions without a label that stay (0: all).

        Raises:
          PushError: the destination cannot be written.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict[keys.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[keys.PUSH_DESTINATION_KEY], destination)
        base_dir = Path(destination.filesystem.base_directory)
        version_dir = publish_version(Path(self.GetModelPath(input_dict)), base_dir)
        self._MarkPushed(
            pushed_model,
            pushed_destination=str(version_dir),
            pushed_version=version_dir.name,
        )
        _note_pushed(
            artifact_utils.get_single_instance(input_dict[PROMOTION_BLESSING_KEY]), version_dir
        )
        if keep := exec_properties.get(KEEP_VERSIONS_KEY):
            _delete_old_versions(base_dir, keep)


def _note_pushed(promotion: types.Artifact, version_dir: Path) -> None:
    try:
        note_pushed(
            open_registry(promotion.registry),
            promotion.model_name,
            promotion.version,
            int(version_dir.name),
        )
    except RegistryError as error:
        # The version is being served by now. Where it is wanted, its bytes tell what it is.
        logging.error(
            "The registry could not record that %s was pushed: %s", version_dir, error
        )


def _delete_old_versions(base_dir: Path, keep: int) -> None:
    try:
        deleted = prune(
            ModelConfigFile(default_model_config(base_dir)), base_dir.name, base_dir, keep
        )
    except (ModelConfigError, RolloutError) as error:
        # What was to be done is done: the new version is there.
        logging.error("Old versions were not deleted: %s", error)
        return
    logging.info("Old versions deleted: %s", deleted or "none")
