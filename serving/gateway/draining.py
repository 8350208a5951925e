"""The end of a gateway, in order: what the process and its applications know of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """Set once, by a signal.

    Attributes:
      begun: the process is going to end. It is not ready any more and answers all the same;
        each response closes its connection, so that clients go elsewhere with the next request.
    """

    begun: bool = False
