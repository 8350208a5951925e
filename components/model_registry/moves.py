"""Computes which aliases a promotion or a rollback moves, and where to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.model_registry.port import CHALLENGER, CHAMPION, PREVIOUS, RegistryError
from serving.succession import Succession

Aliases = Mapping[str, int]
"""The version that each alias points at."""
Moves = dict[str, int | None]
"""The version that each alias moves to; None removes the alias."""

_SUCCESSION: Final = Succession(current=CHAMPION, trial=CHALLENGER, previous=PREVIOUS)


def challenge(aliases: Aliases, number: int) -> Moves:
    """Make a version the challenger, unless a newer one already is."""
    if number == aliases.get(CHAMPION) or number <= aliases.get(CHALLENGER, 0):
        return {}
    return {CHALLENGER: number}


def promote(aliases: Aliases, number: int) -> Moves:
    """Make a version the champion, and the old champion the previous one.

    A challenger that is older than the new champion loses its alias.
    """
    if aliases.get(CHAMPION) == number:
        return {}
    wanted = _SUCCESSION.promoted(aliases, number)
    if wanted.get(CHALLENGER, number) < number:
        del wanted[CHALLENGER]
    return _moves(aliases, wanted)


def roll_back(aliases: Aliases) -> Moves:
    """Make the previous version the champion again; the old champion loses its alias.

    Raises:
      RegistryError: there is no previous version.
    """
    if PREVIOUS not in aliases:
        raise RegistryError(
            "There is no previous version to roll back to: nothing has been promoted since "
            "the last rollback. Use `tallygraph registry promote` for any version."
        )
    return _moves(aliases, _SUCCESSION.rolled_back(aliases))


def after(aliases: Aliases, moves: Mapping[str, int | None]) -> dict[str, int]:
    """Return the aliases after a move."""
    moved = {**aliases, **moves}
    return {alias: number for alias, number in moved.items() if number is not None}


def _moves(before: Aliases, wanted: Aliases) -> Moves:
    """What has to move for the aliases to be as wanted."""
    return {
        alias: wanted.get(alias)
        for alias in {**wanted, **before}
        if wanted.get(alias) != before.get(alias)
    }
