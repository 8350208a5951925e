"""What a group of operations will look up, and what is found: read once, for all of them."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.ledger.changes import Request
from serving.ledger.records import TokensBefore
from serving.ledger.sql import Driver, Row, Statements


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


Sums = defaultdict[tuple[str, str], int]


@dataclass(slots=True)
class Found:
    """What is known: as it was read, and as the operations have changed it since.

    Attributes:
      requests: by their ids.
      of_keys: requests by tenant and idempotency key.
      chains: number and hash of each tenant's last entry.
      tokens: by tenant, month and model.
      used: millionths that are spent or reserved, by tenant and month.
      used_of_keys: the same, by API key and month.
      under_way: requests, by tenant.
      credits, watched, undelivered: rows, as `Budgets.read` and `UndeliveredAnswers.read` take
        them.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    of_keys: dict[tuple[str, str], Request] = field(default_factory=dict)
    chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    tokens: dict[tuple[str, str, str], TokensBefore] = field(default_factory=dict)
    used: Sums = field(default_factory=lambda: defaultdict(int))
    used_of_keys: Sums = field(default_factory=lambda: defaultdict(int))
    under_way: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    credits: Sequence[Row] = ()
    watched: Sequence[Row] = ()
    undelivered: Sequence[Row] = ()


def find(
    wanted: Wanted,
    driver: Driver,
    statements: Statements,
    month: str,
    now: datetime.datetime,
) -> Found:
    """Lock the tenants, and read what is wanted of them.

    Args:
      wanted: at least a request or a tenant.
      month: whose use counts.
      now: which answers are still kept.
    """
    ask = driver.ask
    ids, tenants = sorted(wanted.request_ids), sorted(wanted.tenants)
    # All are on their way before the first is waited for.
    requests = ask(statements.lock_requests, request_ids=ids) if ids else _nothing
    chains = ask(statements.lock_chains, request_ids=ids, tenants=tenants)
    tokens = used = used_of_keys = of_keys = under_way = undelivered = watched = _nothing
    if ids:
        watched = ask(statements.watched, request_ids=ids)
    if ids and wanted.models:
        tokens = ask(
            statements.tokens_before,
            request_ids=ids,
            tenants=tenants,
            months=[month, *sorted(wanted.months)],
            models=sorted(wanted.models),
        )
    if wanted.budgeted:
        used = ask(statements.used_of_accounts, tenants=sorted(wanted.budgeted), month=month)
    if wanted.key_ids:
        used_of_keys = ask(
            statements.used_of_keys,
            tenants=sorted(wanted.key_tenants),
            key_ids=sorted(wanted.key_ids),
            month=month,
        )
    if wanted.keys:
        keyed, keys = sorted(wanted.keyed), sorted(wanted.keys)
        of_keys = ask(statements.requests_of_keys, tenants=keyed, keys=keys)
    if wanted.counted:
        under_way = ask(statements.under_way, tenants=sorted(wanted.counted))
    if wanted.hashes:
        undelivered = ask(
            statements.undelivered,
            tenants=sorted(wanted.unkeyed),
            hashes=sorted(wanted.hashes),
            now=now,
        )

    found = Found({row[0]: Request(*row) for row in requests()})
    ends = chains()
    found.chains = {tenant: (number, last) for tenant, number, last, *_ in ends}
    found.tokens = {row[:3]: TokensBefore(*row[3:]) for row in tokens()}
    found.used.update({(row[0], month): row[1] for row in used()})
    found.used_of_keys.update({(row[0], month): int(row[1]) for row in used_of_keys()})
    for row in of_keys():
        request = found.requests.setdefault(row[0], Request(*row))
        found.of_keys[request.tenant, row[2]] = request
    for request in found.requests.values():
        if request.idempotency_key is not None:
            found.of_keys[request.tenant, request.idempotency_key] = request
    found.under_way.update(under_way())
    found.undelivered = undelivered()
    found.credits = [(tenant, *rest) for tenant, _, _, *rest in ends]
    found.watched = watched()
    return found


def _nothing() -> Sequence[Row]:
    return []
