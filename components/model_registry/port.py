"""What the project asks of a model registry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

CHAMPION: Final = "champion"
"""Alias of the version that is served, and that a new one has to beat."""
CHALLENGER: Final = "challenger"
"""Alias of the newest version that every validator has blessed."""
PREVIOUS: Final = "previous"
"""Alias of the version that was the champion before."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model in the registry.

    Attributes:
      number: given by the registry, from 1 on, rising.
      uri: folder of the metered SavedModel, of a mounted file system or an object store.
      metrics: by name, such as ``rougeL``.
      tags: what else is known of it: tokenizer fingerprint, counting contract, spans, code
        version, ML Metadata ids, pushed version, report.
      aliases: of the version now.
    """

    name: str
    number: int
    uri: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()


class RegistryError(RuntimeError):
    """The registry cannot do what it was asked for; the message says why."""


class ModelRegistry(Protocol):
    """A model registry. Every method may raise ``RegistryError``. For one thread each."""

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """Keep other processes from registering versions of a model and moving its aliases
        until the block ends, so that what is decided in it is decided on what holds.

        May be entered again inside. Entering completes what a process that died has left.
        """

    def register(
        self, name: str, uri: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> RegisteredVersion:
        """Add a version, under no alias. The model is made with its first version."""

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, the newest first; none where there is no such model."""

    def version(self, name: str, number: int) -> RegisteredVersion:
        """One version."""

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that has an alias; None where none has."""

    def set_aliases(self, name: str, aliases: Mapping[str, int | None]) -> None:
        """Move aliases, all of them or, if this process dies or the registry fails on the way,
        in an order that the next call completes; None takes an alias away."""

    def set_tags(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version, or change them."""
