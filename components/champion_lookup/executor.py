"""The work of ChampionLookup: look up the champion, then copy it."""

from __future__ import annotations

from typing import Any, Final

from absl import logging
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.model_registry import open_registry
from components.model_registry.port import RegisteredVersion

MODEL_KEY: Final = "model"
REGISTRY_URI_KEY: Final = "registry_uri"
MODEL_NAME_KEY: Final = "model_name"
ALIAS_KEY: Final = "alias"

ABSENT_PROPERTY: Final = "absent"
NAME_PROPERTY: Final = "registered_name"
VERSION_PROPERTY: Final = "registered_version"

# Object stores have no empty folders: an artifact without a file would not be there at all.
_NOTE_FILE: Final = "NO_CHAMPION"


class ChampionError(RuntimeError):
    """The registry names a champion whose files do not exist. A retry may help if the file
    system was not reachable."""


class Executor(BaseExecutor):
    """Copies the champion."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the champion's SavedModel, or a note that there is none.

        Args:
          input_dict: empty.
          output_dict: `model`: an empty Model; its folder and custom properties are set.
          exec_properties: `registry_uri`, `model_name`, `alias`.

        Raises:
          RegistryError: the registry cannot be read.
          ChampionError: the champion's registered folder has no SavedModel.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict[MODEL_KEY])
        name, alias = exec_properties[MODEL_NAME_KEY], exec_properties[ALIAS_KEY]
        registry = open_registry(exec_properties[REGISTRY_URI_KEY])
        champion = registry.by_alias(name, alias) if alias else None
        if champion is None:
            note = (
                f"No version of {name} has the alias {alias}.\n"
                if alias
                else f"No version of {name} was requested.\n"
            )
            fileio.makedirs(model.uri)
            io_utils.write_string_file(f"{model.uri}/{_NOTE_FILE}", note)
            model.set_int_custom_property(ABSENT_PROPERTY, 1)
            logging.info("ChampionLookup: %s", note.strip())
            return
        _copy(champion, path_utils.serving_model_dir(model.uri))
        model.set_int_custom_property(ABSENT_PROPERTY, 0)
        model.set_string_custom_property(NAME_PROPERTY, champion.name)
        model.set_int_custom_property(VERSION_PROPERTY, champion.number)
        logging.info("ChampionLookup: %s version %d.", champion.name, champion.number)


def is_absent(model: types.Artifact) -> bool:
    """Return whether an output of ChampionLookup stands for no model."""
    return bool(model.get_int_custom_property(ABSENT_PROPERTY))


def _copy(champion: RegisteredVersion, target: str) -> None:
    source = champion.uri
    if not fileio.exists(f"{source}/saved_model.pb"):
        raise ChampionError(
            f"{champion.name} version {champion.number} is registered as {champion.uri!r}, "
            "which has no saved_model.pb. Expected: the folder of a metered SavedModel "
            "that this machine can read. Mount the volume that it is on, or register the "
            "version at a location that this machine can read."
        )
    io_utils.copy_dir(source, target)
