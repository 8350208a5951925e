"""Moves labels between versions of a running model, so that no request fails.

A server refuses a label on a version that it has not loaded, and unloads a version that its
config does not list. So a change has two steps: first every server loads the versions with the
new labels beside those that it serves; then the labels move, and versions without a label are
unloaded. If the first step fails on any server, all servers get their old config back, and the
file, which a restarted server reads, was never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from serving.model_config import ModelConfigFile, model_of, serve_labelled
from serving.rollout.labels import labelled, promoted, rolled_back, unlabelled
from serving.rollout.loadable import why_not_loadable
from serving.rollout.servers import ModelServers, ServerError
from serving.version_folders import SAVED_MODEL, complete_versions, version_folder

LOAD_TIMEOUT_S = 300.0


class RolloutError(RuntimeError):
    """The change was not made. Servers and file are unchanged, or the message says which are
    not."""


@dataclass(frozen=True)
class Change:
    """The result of a change: labels before and after."""

    before: Mapping[str, int]
    after: Mapping[str, int]


class Rollout:
    """The versions and labels of one model. Only one change at a time is possible; others are
    refused."""

    def __init__(
        self,
        config: ModelConfigFile,
        model: str,
        servers: ModelServers,
        load_timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        """
        Args:
          config: the servers' model config file.
          servers: the running servers; with none, only the file is changed.
          load_timeout_s: longest wait for a version to be loaded, in seconds.
        """
        self._config = config
        self._model = model
        self._servers = servers
        self._load_timeout_s = load_timeout_s

    def labels(self) -> dict[str, int]:
        """Return the labels in the file.

        Raises:
          ModelConfigError: the file is missing or not valid, or does not have the model.
        """
        return dict(model_of(self._config.read(), self._model).version_labels)

    def label(self, label: str, version: int) -> Change:
        """Assign a label to a version; see `apply`."""
        return self._apply(lambda labels: labelled(labels, label, version))

    def unlabel(self, label: str) -> Change:
        """Remove a label; its version is unloaded if it has no other; see `apply`."""
        return self._apply(lambda labels: unlabelled(labels, label))

    def promote(self, version: int | None = None) -> Change:
        """Make a version (None: the canary) the stable one; see `apply`."""
        return self._apply(lambda labels: promoted(labels, version))

    def roll_back(self) -> Change:
        """Make the previous version the stable one again; see `apply`."""
        return self._apply(rolled_back)

    def _apply(self, change: Callable[[Mapping[str, int]], dict[str, int]]) -> Change:
        """Change the labels, on every server and in the file.

        Raises:
          LabelError: the change makes no sense.
          ModelConfigError: the file is wrong, or is being changed by another program.
          RolloutError: a version is not on disk, or a server did not follow.
        """
        with self._config.locked():
            before = self._config.read()
            model = model_of(before, self._model)
            old = dict(model.version_labels)
            new = change(old)
            self._check_on_disk(model, set(new.values()) - set(old.values()))
            after = _copy(before)
            serve_labelled(model_of(after, self._model), new)
            try:
                self._load(before, old, new)
                self._switch(before, after)
            except ServerError as error:
                raise RolloutError(
                    f"{error}. The labels were not changed{self._restore(before)}"
                ) from None
        return Change(old, new)

    def _load(
        self, before: ModelServerConfig, old: Mapping[str, int], new: Mapping[str, int]
    ) -> None:
        """Have the servers load what the new labels name, and keep all that they serve."""
        wanted = set(new.values())
        both = _copy(before)
        model = model_of(both, self._model)
        if old:
            versions = sorted({*old.values(), *wanted})
        else:
            # Without labels the newest version has been served; which, the servers know.
            states = self._servers.states(self._model).values()
            served = {v for each in states for v, s in each.items() if s == "AVAILABLE"}
            versions = sorted(wanted | served)
        model.ClearField("model_version_policy")
        model.model_version_policy.specific.versions.extend(versions)
        self._servers.reload(both)
        self._servers.wait_until_available(self._model, wanted, self._load_timeout_s)

    def _switch(self, before: ModelServerConfig, after: ModelServerConfig) -> None:
        self._config.write(after)
        try:
            self._servers.reload(after)
        except ServerError:
            self._config.write(before)
            raise

    def _restore(self, before: ModelServerConfig) -> str:
        """Give every server the config that it had; names those that do not take it."""
        lost = []
        try:
            addresses: Sequence[str] = self._servers.resolved()
        except ServerError:  # a name that no longer has an address
            addresses = self._servers.addresses
        for address in addresses:
            with ModelServers([address]) as server:
                try:
                    server.reload(before)
                except ServerError:
                    lost.append(address)
        if not lost:
            return "."
        return (
            f", except on {', '.join(lost)}, which cannot be reached. Restart it with the "
            f"model config {self._config.path}."
        )

    def _check_on_disk(self, model: ModelConfig, versions: set[int]) -> None:
        for version in sorted(versions):
            folder = version_folder(Path(model.base_path), version)
            if not (folder / SAVED_MODEL).is_file():
                raise RolloutError(
                    f"There is no version {version} of {model.name}: {folder} is not a "
                    f"SavedModel. Existing versions: {versions_in(Path(model.base_path))}."
                )
            if reason := why_not_loadable(folder):
                raise RolloutError(
                    f"Version {version} of {model.name} cannot be loaded: {reason}. "
                    f"Expected: a complete SavedModel in {folder}. No label was changed."
                )


def versions_in(base_path: Path) -> list[int]:
    """Return the complete versions below a model's folder, rising; none if it is missing."""
    return list(complete_versions(base_path))


def _copy(config: ModelServerConfig) -> ModelServerConfig:
    copy = ModelServerConfig()
    copy.CopyFrom(config)
    return copy
