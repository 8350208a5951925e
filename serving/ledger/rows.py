"""The ledger's rows, in a transaction: what is locked, and what is written together.

Locks are taken in one order: a request, its tenant's chain, the account. A tenant's chain is
its lock: whoever has it is alone with the tenant's money.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.database import insert
from serving.ledger.events import usage_event
from serving.ledger.records import Entry, UnknownRequestError

RESERVED: Final = "reserved"
SETTLED: Final = "settled"
RELEASED: Final = "released"


def locked_account(connection: sa.Connection, tenant: str, month: str) -> sa.Row[Any]:
    """A tenant's account, made where it is missing; nobody else is at the tenant."""
    connection.execute(
        insert(connection, schema.chains)
        .values(tenant=tenant, number=0, hash=FIRST_HASH)
        .on_conflict_do_nothing()
    )
    _locked_chain(connection, tenant)
    connection.execute(
        insert(connection, schema.accounts)
        .values(tenant=tenant, month=month, spent_micro=0, reserved_micro=0)
        .on_conflict_do_nothing()
    )
    return connection.execute(
        sa.select(schema.accounts).where(
            schema.accounts.c.tenant == tenant, schema.accounts.c.month == month
        )
    ).one()


def _locked_chain(connection: sa.Connection, tenant: str) -> sa.Row[Any]:
    return connection.execute(
        sa.select(schema.chains).where(schema.chains.c.tenant == tenant).with_for_update()
    ).one()


def locked_request(connection: sa.Connection, request_id: str) -> sa.Row[Any]:
    """A request that nobody else may end meanwhile.

    Raises:
      UnknownRequestError: there is none.
    """
    request = connection.execute(
        sa.select(schema.requests)
        .where(schema.requests.c.request_id == request_id)
        .with_for_update()
    ).one_or_none()
    if request is None:
        raise UnknownRequestError(f"Nothing was ever reserved for the request {request_id}.")
    return request


def charge_of(connection: sa.Connection, request_id: str) -> Entry:
    """The entry of a request that is settled."""
    row = connection.execute(
        sa.select(schema.entries).where(
            schema.entries.c.request_id == request_id, schema.entries.c.kind == "charge"
        )
    ).one()
    return Entry(**row._mapping)


def end_request(connection: sa.Connection, request: sa.Row[Any], state: str) -> None:
    """Settle or release a request; a released one gives its key back."""
    values: dict[str, str | None] = {"state": state}
    if state == RELEASED:
        values["idempotency_key"] = None
    connection.execute(
        schema.requests.update()
        .where(schema.requests.c.request_id == request.request_id)
        .values(**values)
    )


def add_to_account(
    connection: sa.Connection,
    tenant: str,
    month: str,
    spent: int = 0,
    reserved: int = 0,
) -> None:
    connection.execute(
        schema.accounts.update()
        .where(schema.accounts.c.tenant == tenant, schema.accounts.c.month == month)
        .values(
            spent_micro=schema.accounts.c.spent_micro + spent,
            reserved_micro=schema.accounts.c.reserved_micro + reserved,
        )
    )


def append_entry(connection: sa.Connection, entry: Entry) -> Entry:
    """Put an entry at the end of its tenant's chain, and its event into the outbox."""
    chain = _locked_chain(connection, entry.tenant)
    entry = replace(entry, number=chain.number + 1, previous_hash=chain.hash)
    entry = replace(entry, hash=entry_hash(entry))
    connection.execute(schema.entries.insert().values(**asdict(entry)))
    connection.execute(
        schema.chains.update()
        .where(schema.chains.c.tenant == entry.tenant)
        .values(number=entry.number, hash=entry.hash)
    )
    connection.execute(schema.outbox.insert().values(event=usage_event(entry)))
    return entry
