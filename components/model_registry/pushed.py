"""The numbers under which a registered version has been pushed, kept in a tag of the
registry."""

from __future__ import annotations

from typing import Final

from components.model_registry.port import ModelRegistry, RegisteredVersion

PUSHED_TAG: Final = "pushed_versions"


def note_pushed(registry: ModelRegistry, name: str, number: int, pushed: int) -> None:
    """Record that a version has been pushed under a number. It may have several."""
    with registry.exclusive(name):
        numbers = pushed_versions(registry.version(name, number))
        if pushed not in numbers:
            noted = " ".join(str(each) for each in (*numbers, pushed))
            registry.set_tags(name, number, {PUSHED_TAG: noted})


def pushed_versions(version: RegisteredVersion) -> tuple[int, ...]:
    """Return the numbers under which a version has been pushed, the latest last."""
    return version.numbers(PUSHED_TAG)
