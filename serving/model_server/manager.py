"""The models of a config: finding the version a request is for, labels, status, reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from serving.model_server.config import check_model_config
from serving.model_server.errors import (
    ServingError,
    failed_precondition,
    invalid_argument,
    not_found,
)
from serving.model_server.lifecycle import Lifecycle, LifecycleOptions, Loader
from serving.model_server.model_version import ModelVersion, Servable, State, VersionStatus
from serving.model_server.request_log import RequestLog, logging_configs
from serving.protocol.statuses import Code


@dataclass(frozen=True)
class Reload:
    """A config that has been taken up.

    Attributes:
      new: the models that it added.
      scans: how often the disk had been scanned before.
    """

    new: frozenset[str]
    scans: int


class ModelManager:
    """Serves the models of a ``ModelServerConfig``. Safe for use by many threads."""

    def __init__(
        self,
        loader: Loader,
        options: LifecycleOptions,
        allow_labels_for_unavailable: bool = False,
        request_log: RequestLog | None = None,
    ) -> None:
        """
        Args:
          loader: reads a version into memory.
          allow_labels_for_unavailable: a new label may name a version that is not loaded.
          request_log: gets the models that a config wants logged; None: nothing is logged.
        """
        self._lifecycle = Lifecycle(loader, options)
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._request_log = request_log
        self._labels: dict[str, dict[str, int]] = {}

    def start(self, config: ModelServerConfig) -> None:
        """Use the first config and wait until every model has an AVAILABLE version.

        Like TensorFlow Serving, it waits as long as a model has no version on disk.

        Raises:
          ServingError: the config is not valid, or every version of a model failed to load.
        """
        self._lifecycle.start()
        self.reload(config)

    def reload(self, config: ModelServerConfig) -> None:
        """Use another config; returns when the models that it adds are AVAILABLE.

        Raises:
          ServingError: the config is not valid (nothing changes), or a new model failed.
        """
        reload = self.use(config)
        with self._lifecycle.changed:
            while not self.is_complete(reload):
                self._lifecycle.changed.wait()

    def use(self, config: ModelServerConfig) -> Reload:
        """Use another config; returns at once. `is_complete` tells when its models are there.

        Raises:
          ServingError: the config is not valid; nothing changes.
        """
        check_model_config(config)
        logged = logging_configs(config)
        models = {model.name: model for model in config.model_config_list.config}
        with self._lifecycle.changed:
            labels = self._checked_labels(models)
            new = models.keys() - self._asked_for()
            self._labels = labels
            if self._request_log is not None:
                self._request_log.use(logged)
            reload = Reload(frozenset(new), self._lifecycle.scans)
            self._lifecycle.ask_for(config)
        return reload

    def is_complete(self, reload: Reload) -> bool:
        """Tell whether the models that a config added are AVAILABLE, except for those that a
        later config has removed.

        Raises:
          ServingError: a new model failed, or the server is stopping.
        """
        with self._lifecycle.changed:
            if self._lifecycle.stopping:
                raise ServingError(
                    Code.UNAVAILABLE, "The server stopped before the models were AVAILABLE."
                )
            new = reload.new & self._asked_for()
            if self._lifecycle.scans <= reload.scans or not all(map(self._settled, new)):
                return False
            failed = [name for name in sorted(new) if not self._is_available(name)]
            reasons = ", ".join(
                f"{{{{name: {name} version: {number}}} due to error: {entry.error}}}"
                for name in failed
                for number, entry in sorted(self._lifecycle.versions.get(name, {}).items())
            )
        if failed:
            raise ServingError(
                Code.UNKNOWN,
                f"{len(failed)} servable(s) did not become available: {{{reasons}, }}",
            )
        return True

    def drain(self) -> None:
        """Load nothing more, and let nobody wait for it. Versions that are AVAILABLE stay."""
        self._lifecycle.begin_to_stop()

    def stop(self) -> None:
        """Unload everything. Call it when no request is running."""
        self._lifecycle.stop()

    @contextmanager
    def acquire(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """Hold a version in memory while a request runs on it.

        Args:
          version: this version, or else
          label: the version of this label, or else the newest that is AVAILABLE.

        Raises:
          ServingError: there is no such model, version or label.
        """
        with self._lifecycle.changed:
            number, entry = self._find(name, version, label)
            entry.users += 1
            model = entry.model
        assert model is not None  # an AVAILABLE version has its model
        try:
            yield Servable(name, number, model)
        finally:
            del model
            with self._lifecycle.changed:
                entry.users -= 1
                if entry.state is State.UNLOADING and entry.users == 0:
                    self._lifecycle.changed.notify_all()

    def status(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Return the state of a model's versions, newest first.

        Raises:
          ServingError: there is no such model or version.
        """
        with self._lifecycle.changed:
            versions = self._lifecycle.versions.get(name, {})
            if version is not None:
                if version not in versions:
                    raise not_found(f"Could not find version {version} of model {name}")
                versions = {version: versions[version]}
            if not versions:
                raise not_found(f"Could not find any versions of model {name}")
            return [
                VersionStatus(number, versions[number].state, versions[number].error)
                for number in sorted(versions, reverse=True)
            ]

    # Finding, under the lock.

    def _find(
        self, name: str, version: int | None, label: str | None
    ) -> tuple[int, ModelVersion]:
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        if version is None and label is not None:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {label}")
        versions = self._lifecycle.versions.get(name, {})
        if version is not None:
            entry = versions.get(version)
            if entry is None or entry.state is not State.AVAILABLE:
                raise not_found(f"Servable not found for request: Specific({name}, {version})")
            return version, entry
        available = [n for n, entry in versions.items() if entry.state is State.AVAILABLE]
        if not available:
            raise not_found(f"Servable not found for request: Latest({name})")
        return max(available), versions[max(available)]

    def _checked_labels(self, models: Mapping[str, ModelConfig]) -> dict[str, dict[str, int]]:
        """The labels of a config. One must name an AVAILABLE version, or, where the flag
        allows it, be new: a label in use never moves to what cannot answer."""
        labels: dict[str, dict[str, int]] = {}
        for name, model in models.items():
            for label, number in model.version_labels.items():
                now = self._labels.get(name, {}).get(label)
                may_be_unavailable = self._allow_labels_for_unavailable and (
                    now is None or now == number
                )
                entry = self._lifecycle.versions.get(name, {}).get(number)
                available = entry is not None and entry.state is State.AVAILABLE
                if not available and not may_be_unavailable:
                    raise failed_precondition(
                        f"Request to assign label to version {number} of model {name}, "
                        "which is not currently available for inference"
                    )
                labels.setdefault(name, {})[label] = number
        return labels

    def _asked_for(self) -> set[str]:
        return {model.name for model in self._lifecycle.config.model_config_list.config}

    def _settled(self, name: str) -> bool:
        """Whether one of the requested versions is AVAILABLE, or all of them have failed."""
        entries = [
            entry for entry in self._lifecycle.versions.get(name, {}).values() if entry.aspired
        ]
        return (
            bool(entries)
            and all(entry.settled for entry in entries)
            and (
                any(entry.state is State.AVAILABLE for entry in entries)
                or all(entry.state is State.END for entry in entries)
            )
        )

    def _is_available(self, name: str) -> bool:
        versions = self._lifecycle.versions.get(name, {}).values()
        return any(entry.state is State.AVAILABLE for entry in versions)
