"""Serves registered versions: in the folder on disk, and under the servers' labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.model_registry.port import ModelRegistry, RegisteredVersion
from components.model_registry.pushed import note_pushed, pushed_versions
from components.pusher.publish import PushError, publish_version
from serving.model_config import ModelConfigFile
from serving.rollout import PREVIOUS, STABLE, ModelServers, Rollout
from serving.rollout.rollout import versions_in
from serving.version_folders import version_folder


@dataclass(frozen=True)
class ServedModel:
    """The folder that model servers poll, and how they choose among its versions.

    Attributes:
      name: of the model, on the servers and in the registry.
      folder: contains the numbered version folders.
      config: the servers' model config; if the file is missing or has no labels, the newest
        version is served.
      servers: the running servers; used only if there are labels.
    """

    name: str
    folder: Path
    config: ModelConfigFile
    servers: ModelServers

    def serve(self, registry: ModelRegistry, version: RegisteredVersion) -> int:
        """Serve a version. Steps that were already done are not repeated.

        If there are labels, it becomes the stable version. Otherwise it becomes the newest:
        under a new number if a newer one is on disk, because servers use the highest.

            Returns:
              The number under which it is served.

            Raises:
              PushError: its model no longer exists, or the folder cannot be written.
              ModelConfigError, LabelError, RolloutError, ServerError: see `serving.rollout`.
              RegistryError: the number could not be recorded.
        """
        on_disk = versions_in(self.folder)
        known = [number for number in pushed_versions(version) if number in on_disk]
        labels = self._labels()
        if known and (labels or known[-1] == on_disk[-1]):
            number = known[-1]
        else:
            number = int(publish_version(self._source(version, known), self.folder).name)
            note_pushed(registry, version.name, version.number, number)
        if labels and labels.get(STABLE) != number:
            rollout = Rollout(self.config, self.name, self.servers)
            if labels.get(PREVIOUS) == number:
                rollout.roll_back()
            else:
                rollout.promote(number)
        return number

    def _labels(self) -> dict[str, int]:
        if not self.config.path.exists():
            return {}
        return Rollout(self.config, self.name, self.servers).labels()

    def _source(self, version: RegisteredVersion, known: list[int]) -> Path:
        places = [Path(version.uri), *(version_folder(self.folder, number) for number in known)]
        for place in places:
            if (place / "saved_model.pb").is_file():
                return place
        raise PushError(
            f"Version {version.number} of {version.name} cannot be served because its model "
            f"is gone. Expected: a SavedModel in {' or '.join(map(str, places))}."
        )
