"""Names on a model's versions: the current one, one on trial, and the previous one.

The labels of a server (``stable``, ``canary``, ``previous``) and the aliases of the registry
(``champion``, ``challenger``, ``previous``) move in the same way. Each adds its own checks and
error messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Named = Mapping[str, int]
"""The version that each name points at; names other than the three do not change."""


@dataclass(frozen=True)
class Succession:
    """The three names.

    Attributes:
      current: of the version that is served.
      trial: of the version that may become the current one.
      previous: of the version that was the current one before.
    """

    current: str
    trial: str
    previous: str

    def promoted(self, named: Named, version: int) -> dict[str, int]:
        """Return the names with a version as the current one, and the old current one as the
        previous one.

        The version loses its other names, because its trial is over.
        """
        current = named.get(self.current)
        if current == version:
            return dict(named)
        after = {**named, self.current: version}
        if current is not None:
            after[self.previous] = current
        for name in (self.trial, self.previous):
            if after.get(name) == version:
                del after[name]
        return after

    def rolled_back(self, named: Named) -> dict[str, int]:
        """Return the names with the previous version as the current one; the old current one
        has no name.

        Raises:
          KeyError: there is no previous version.
        """
        after = dict(named)
        after[self.current] = after.pop(self.previous)
        return after
