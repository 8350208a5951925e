"""MLflow's model registry, in a file or on a server.

MLflow moves one alias at a time, without comparing. So a change of several aliases is first
written down in a tag of the model, then carried out, then the tag is removed; the next process
finds the tag of one that died and completes its change. Readers see either the old champion or
the new one during a change, never none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from components.model_registry.locks import file_lock, server_lock
from components.model_registry.port import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    RegisteredVersion,
    RegistryError,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Of the registered model: a change of aliases that is under way.
MOVING_TAG: Final = "tallygraph.moving"
# MLflow keeps metrics for runs only.
_METRIC_PREFIX: Final = "metric."
# A server refuses a source that looks like a folder of its own machine.
_FOLDER: Final = "folder://"
# The champion that was is safe under `previous` before another one takes its place.
_ORDER: Final = (PREVIOUS, CHAMPION, CHALLENGER)
_QUIET: Final = ("mlflow", "alembic", "sqlalchemy")

_Lock = Callable[[str], contextlib.AbstractContextManager[None]]


class MlflowRegistry:
    """A `ModelRegistry`.

    With a file, `exclusive` is a file lock, which is safe between the processes of one machine.
    With a server it is a lock on the server, whose limits `locks.server_lock` describes.
    """

    def __init__(self, client: MlflowClient, uri: str, lock: _Lock) -> None:
        self._client = client
        self._uri = uri
        self._lock = lock
        self._held: set[str] = set()

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Open a registry in an SQLite file, which is created if missing."""
        path = path.absolute()
        lock = path.with_name(f".{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(f"Cannot create the registry {path}: {error}") from None
        # MLflow takes the path out of a URL: `%20` in a folder's name would be a space.
        in_url = str(path).replace("%", "%25").replace("?", "%3F")
        uri = f"sqlite:///{in_url}"
        # Of two processes that make its tables at a time, one fails.
        with file_lock(lock), _without_new_folders(Path(in_url).parent):
            client = _client(uri)
        return cls(client, uri, lambda _: file_lock(lock))

    @classmethod
    def of_server(cls, uri: str) -> Self:
        """Open a registry on a tracking server."""
        client = _client(uri)
        return cls(client, uri, lambda name: server_lock(client, name))

    @contextlib.contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """See `ModelRegistry`."""
        if name in self._held:
            yield
            return
        with self._errors(), self._lock(name):
            self._held.add(name)
            try:
                self._complete(name)
                yield
            finally:
                self._held.remove(name)

    def register(
        self, name: str, uri: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> RegisteredVersion:
        """See `ModelRegistry`."""
        with self._errors(), self.exclusive(name):
            if self._model(name) is None:
                self._client.create_registered_model(name)
            local = "://" not in uri and not self._uri.startswith("sqlite")
            made = self._client.create_model_version(
                name,
                f"{_FOLDER}{uri}" if local else uri,
                tags={
                    **tags,
                    **{f"{_METRIC_PREFIX}{key}": repr(value) for key, value in metrics.items()},
                },
            )
            return _version(made, frozenset())

    def versions(self, name: str) -> list[RegisteredVersion]:
        """See `ModelRegistry`."""
        with self._errors():
            model = self._model(name)
            if model is None:
                return []
            found: list[RegisteredVersion] = []
            token = None
            while True:
                page = self._client.search_model_versions(f"name='{name}'", page_token=token)
                found += [_version(entry, _aliases_of(model, entry.version)) for entry in page]
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: -version.number)

    def version(self, name: str, number: int) -> RegisteredVersion:
        """See `ModelRegistry`."""
        with self._errors():
            found = self._client.get_model_version(name, str(number))
            return _version(found, frozenset(found.aliases))

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """See `ModelRegistry`."""
        with self._errors():
            model = self._model(name)
            number = model.aliases.get(alias) if model else None
            return None if number is None else self.version(name, int(number))

    def set_aliases(self, name: str, aliases: Mapping[str, int | None]) -> None:
        """See `ModelRegistry`."""
        with self._errors(), self.exclusive(name):
            for number in {number for number in aliases.values() if number is not None}:
                self.version(name, number)
            note = json.dumps({"aliases": dict(aliases), "by": uuid.uuid4().hex})
            self._client.set_registered_model_tag(name, MOVING_TAG, note)
            self._move(name, aliases)
            # Of a server only: two may have taken over the lock of a third, in one moment.
            overtaken = not self._are_on(name, aliases)
            if self._note(name) == note:
                self._client.delete_registered_model_tag(name, MOVING_TAG)
            else:
                overtaken = True
            if overtaken:
                raise RegistryError(
                    f"Another process moved the aliases of {name} at the same time. Check "
                    "them with `tallygraph registry list`, and run your command again if "
                    "necessary."
                )

    def set_tags(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        """See `ModelRegistry`."""
        with self._errors():
            for key, value in tags.items():
                self._client.set_model_version_tag(name, str(number), key, value)

    def _move(self, name: str, aliases: Mapping[str, int | None]) -> None:
        order = [alias for alias in _ORDER if alias in aliases]
        order += sorted(set(aliases) - set(_ORDER))
        for alias in order:
            if (number := aliases[alias]) is not None:
                self._client.set_registered_model_alias(name, alias, str(number))
        for alias in order:
            if aliases[alias] is None:
                self._client.delete_registered_model_alias(name, alias)

    def _are_on(self, name: str, aliases: Mapping[str, int | None]) -> bool:
        found = self._client.get_registered_model(name).aliases
        return all(
            number == (int(found[alias]) if alias in found else None)
            for alias, number in aliases.items()
        )

    def _complete(self, name: str) -> None:
        if note := self._note(name):
            self._move(name, json.loads(note)["aliases"])
            self._client.delete_registered_model_tag(name, MOVING_TAG)

    def _note(self, name: str) -> str | None:
        model = self._model(name)
        return model.tags.get(MOVING_TAG) if model else None

    def _model(self, name: str) -> Any | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        with _registry_errors(f"The model registry {self._uri}"):
            yield


@contextlib.contextmanager
def _without_new_folders(path: Path) -> Iterator[None]:
    """MLflow also makes the folder of the URL as it is written, `%25` and all, and empty."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _client(uri: str) -> MlflowClient:
    """A client that neither reports home nor fills the terminal, nor retries for minutes."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    with _registry_errors(f"The model registry {uri} cannot be opened"):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models(max_results=1)  # makes the tables; finds the server
    return client


@contextlib.contextmanager
def _registry_errors(what: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except MlflowException as error:
        raise RegistryError(f"{what}: {error.message}") from error
    except DBAPIError as error:
        raise RegistryError(f"{what}: {error.orig}") from error


def _aliases_of(model: Any, number: object) -> frozenset[str]:
    return frozenset(
        alias for alias, version in model.aliases.items() if int(version) == int(str(number))
    )


def _version(found: ModelVersion, aliases: frozenset[str]) -> RegisteredVersion:
    tags = dict(found.tags)
    metrics: dict[str, float] = {}
    for key, value in tags.items():
        # What is no number is a tag of another program's, whatever its name begins with.
        with contextlib.suppress(ValueError):
            if key.startswith(_METRIC_PREFIX):
                metrics[key.removeprefix(_METRIC_PREFIX)] = float(value)
    return RegisteredVersion(
        name=found.name,
        number=int(found.version),
        uri=(found.source or "").removeprefix(_FOLDER),
        metrics=metrics,
        tags={k: v for k, v in tags.items() if k.removeprefix(_METRIC_PREFIX) not in metrics},
        aliases=aliases,
    )
