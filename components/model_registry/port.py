"""The interface of a model registry."""

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
      number: given by the registry, ascending from 1.
      uri: folder of the metered SavedModel, in a mounted file system or an object store.
      metrics: by name, such as ``rougeL``.
      tags: other facts: tokenizer fingerprint, counting contract, spans, code
        version, ML Metadata ids, pushed version, report.
      aliases: the version's current aliases.
    """

    name: str
    number: int
    uri: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()

    def numbers(self, tag: str) -> tuple[int, ...]:
        """The numbers that a tag lists, with spaces between; none where there is no such tag.

        Raises:
          RegistryError: it is not a list of numbers. Another program may use the same tag.
        """
        written = self.tags.get(tag, "")
        try:
            return tuple(map(int, written.split()))
        except ValueError:
            raise RegistryError(
                f"The tag {tag} of version {self.number} of {self.name} cannot be read. "
                f"Expected: whole numbers with spaces between. Received: {written!r}. Correct "
                "or remove it in the registry."
            ) from None


class RegistryError(RuntimeError):
    """The registry cannot carry out an operation; the message says why."""


class ModelRegistry(Protocol):
    """A model registry. Every method may raise ``RegistryError``. Use one instance per
    thread."""

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """Keep other processes from registering versions of a model and moving its aliases
        until the block ends, so that decisions in it are based on the current state. Can be
        nested. Entering completes what a process that died has left unfinished.
        """

    def register(
        self, name: str, uri: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> RegisteredVersion:
        """Add a version without an alias. The model is created with its first version."""

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Return all versions of a model, newest first; none if there is no such model."""

    def version(self, name: str, number: int) -> RegisteredVersion:
        """Return one version."""

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """Return the version that has an alias; None if no version has it."""

    def set_aliases(self, name: str, aliases: Mapping[str, int | None]) -> None:
        """Move all of the given aliases; None removes an alias. If this process dies or the
        registry fails on the way, the next call completes the move."""

    def set_tags(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version, or change them."""
