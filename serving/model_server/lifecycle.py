"""Loads versions from disk to memory and unloads them, according to the config and the disk.

One thread decides; a pool loads and closes. A version is taken out of service only when no
version is requested any more or a requested one is AVAILABLE, and its memory is released
only when the last request running on it has ended. So a broken new version leaves the
old one serving, and a good one replaces it without a failed request.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from serving.model_server.errors import ServingError
from serving.model_server.model_version import ModelVersion, State
from serving.model_server.saved_model import LoadedModel
from serving.model_server.versions import VersionOnDisk, aspired_versions
from serving.protocol.statuses import Code

_LOG = logging.getLogger(__name__)

# Versions that have ended are still reported, but not without limit.
MAX_ENDED_VERSIONS = 100


@dataclass(frozen=True)
class LifecycleOptions:
    """The flags for loading and unloading versions; times in seconds.

    ``stop_waits_s`` is the longest time that stopping waits for loads in progress.
    """

    poll_s: float = 1.0
    max_retries: int = 5
    retry_interval_s: float = 60.0
    load_threads: int = 1
    stop_waits_s: float = 5.0


Loader = Callable[[str, VersionOnDisk], LoadedModel]


class Lifecycle:
    """The versions of every model, and the threads that load and unload them.

    Attributes:
      changed: guards everything below, and is notified of every state change.
      versions: every known version, by model name and number.
      config: the requested models and versions.
      scans: how often the disk has been scanned.
      stopping: whether ``stop`` has been called.
    """

    def __init__(self, loader: Loader, options: LifecycleOptions) -> None:
        self.changed = threading.Condition()
        self.versions: dict[str, dict[int, ModelVersion]] = {}
        self.config = ModelServerConfig()
        self.scans = 0
        self.stopping = False
        self._loader = loader
        self._options = options
        self._scan_due = False
        self._workers = ThreadPoolExecutor(max(1, options.load_threads), "model-loader")
        self._jobs: set[Future[None]] = set()
        self._thread = threading.Thread(target=self._work, name="model-manager", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_for(self, config: ModelServerConfig) -> None:
        """Use another config; ``changed`` must be held. The disk is scanned at once."""
        self.config = config
        self._scan_due = True
        self.changed.notify_all()

    def begin_to_stop(self) -> None:
        """Load and unload nothing more."""
        with self.changed:
            self.stopping = True
            self.changed.notify_all()

    def stop(self) -> None:
        """Unload everything. Call it when no request is running."""
        self.begin_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        self._workers.shutdown(wait=False, cancel_futures=True)
        # A load cannot be interrupted, and a large model's takes minutes.
        if wait(self._jobs, self._options.stop_waits_s).not_done:
            _LOG.warning("Stopping while a model is being loaded")
        with self.changed:
            for entries in self.versions.values():
                for entry in entries.values():
                    if entry.model is not None:
                        entry.model.close()
                        entry.model = None
                    entry.state = State.END

    def _work(self) -> None:
        next_poll = time.monotonic()
        while True:
            with self.changed:
                if self.stopping:
                    return
                now = time.monotonic()
                poll = self._scan_due or (self._options.poll_s > 0 and now >= next_poll)
                self._scan_due = False
                configs = list(self.config.model_config_list.config)
            if poll:
                self._scan(configs)
                next_poll = time.monotonic() + self._options.poll_s
            with self.changed:
                self._drop_ended()
                wake_at = self._start_loads(time.monotonic())
                self._start_unloads()
                if self._options.poll_s > 0:
                    wake_at = min(wake_at, next_poll)
                if not self._scan_due and not self.stopping:
                    timeout = wake_at - time.monotonic()
                    self.changed.wait(min(max(timeout, 0.0), threading.TIMEOUT_MAX))

    def _scan(self, configs: list[ModelConfig]) -> None:
        found: dict[str, dict[int, VersionOnDisk] | None] = {}
        for config in configs:
            try:
                found[config.name] = aspired_versions(config)
            except OSError as error:
                # Transiently unreadable must not mean unload everything.
                found[config.name] = None
                _LOG.error(
                    "Could not find base path %s for servable %s: %s",
                    config.base_path,
                    config.name,
                    error,
                )
                continue
            if not found[config.name]:
                _LOG.warning(
                    "No versions of servable %s found under base path %s. Did you forget "
                    "to name your leaf directory as a number (eg. '/1/')?",
                    config.name,
                    config.base_path,
                )
        with self.changed:
            for name in set(self.versions) - set(found):
                self._aspire(name, {})
            for name, versions in found.items():
                if versions is not None:
                    self._aspire(name, versions)
            self.scans += 1
            self.changed.notify_all()

    def _aspire(self, name: str, wanted: Mapping[int, VersionOnDisk]) -> None:
        entries = self.versions.setdefault(name, {})
        for number, disk in wanted.items():
            entry = entries.get(number)
            if entry is None or (entry.state is State.END and self._worth_loading(entry, disk)):
                entries[number] = ModelVersion(disk)
            else:
                entry.aspired = True
        for number, entry in entries.items():
            if number not in wanted:
                entry.aspired = False
        if not entries:
            del self.versions[name]

    @staticmethod
    def _worth_loading(entry: ModelVersion, disk: VersionOnDisk) -> bool:
        """A version that failed is tried again only after its files have changed."""
        return entry.error is None or entry.disk.fingerprint != disk.fingerprint

    def _drop_ended(self) -> None:
        for name, entries in list(self.versions.items()):
            for entry in entries.values():
                waiting = entry.state in (State.START, State.LOADING)
                if waiting and not entry.aspired and not entry.busy:
                    entry.state = State.END
            ended = [n for n, e in sorted(entries.items()) if e.state is State.END]
            for number in ended[: max(0, len(ended) - MAX_ENDED_VERSIONS)]:
                del entries[number]
            if not entries:
                del self.versions[name]

    def _start_loads(self, now: float) -> float:
        """Hand due loads to the pool; returns when the next retry is due."""
        next_retry = now + 3600.0
        for name, entries in self.versions.items():
            for number in sorted(entries, reverse=True):
                entry = entries[number]
                if not entry.wants_load:
                    continue
                if entry.retry_at > now:
                    next_retry = min(next_retry, entry.retry_at)
                    continue
                entry.busy = True
                entry.state = State.LOADING
                self._submit(self._load, name, entry)
        return next_retry

    def _start_unloads(self) -> None:
        for name, entries in self.versions.items():
            aspired = [entry for entry in entries.values() if entry.aspired]
            replaced = not aspired or any(e.state is State.AVAILABLE for e in aspired)
            for number, entry in entries.items():
                if entry.state is State.AVAILABLE and not entry.aspired and replaced:
                    entry.state = State.UNLOADING
                    _LOG.info("Unloading servable version {name: %s version: %d}", name, number)
                if entry.state is State.UNLOADING and not entry.users and not entry.busy:
                    entry.busy = True
                    self._submit(self._close, name, entry)

    def _submit(
        self, work: Callable[[str, ModelVersion], None], name: str, entry: ModelVersion
    ) -> None:
        self._jobs = {job for job in self._jobs if not job.done()}
        self._jobs.add(self._workers.submit(work, name, entry))

    def _load(self, name: str, entry: ModelVersion) -> None:
        number = entry.disk.number
        _LOG.info("Loading servable version {name: %s version: %d}", name, number)
        model: LoadedModel | None = None
        error: ServingError | None = None
        try:
            model = self._loader(name, entry.disk)
        except ServingError as failure:
            error = failure
        except Exception as failure:
            # Whatever a model raises, it must not end the thread that loads the next one.
            error = ServingError(Code.INTERNAL, f"{type(failure).__name__}: {failure}")
        with self.changed:
            entry.busy = False
            entry.model = model
            entry.error = error
            if error is None:
                entry.state = State.AVAILABLE
            else:
                entry.attempts += 1
                if entry.attempts > self._options.max_retries:
                    entry.state = State.END
                entry.retry_at = time.monotonic() + max(0.0, self._options.retry_interval_s)
            self.changed.notify_all()
        if error is None:
            _LOG.info(
                "Successfully loaded servable version {name: %s version: %d}", name, number
            )
        else:
            _LOG.error(
                "Loading servable: {name: %s version: %d} failed: %s", name, number, error
            )

    def _close(self, name: str, entry: ModelVersion) -> None:
        with self.changed:
            model, entry.model = entry.model, None
        if model is not None:
            model.close()
        del model
        gc.collect()  # a graph is full of cycles and worth hundreds of megabytes
        with self.changed:
            entry.busy = False
            entry.state = State.END
            self.changed.notify_all()
        _LOG.info(
            "Done unloading servable version {name: %s version: %d}", name, entry.disk.number
        )
