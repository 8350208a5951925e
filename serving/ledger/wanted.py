"""What a group of operations will look up."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Wanted:
    """What is to be read.

    Attributes:
      request_ids: to be settled, released or reversed.
      tenants: that reserve; `keyed`, `budgeted` and `counted` are those of them that give an
        idempotency key, have a budget, or a limit of requests at a time.
      keys: idempotency keys.
      unkeyed, hashes: tenants and hashes of requests that may get an undelivered answer.
      key_tenants, key_ids: of requests whose API key has a budget of its own.
      models: that were used.
      months: of charges that are archived.
    """

    request_ids: set[str] = field(default_factory=set)
    tenants: set[str] = field(default_factory=set)
    keyed: set[str] = field(default_factory=set)
    budgeted: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    unkeyed: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    key_tenants: set[str] = field(default_factory=set)
    key_ids: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    months: set[str] = field(default_factory=set)
