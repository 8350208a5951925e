"""The ledger's rows, in a transaction: what is locked, and what is written together.

Locks are taken in one order: a request, its tenant's chain, the account. A tenant's chain is
its lock: whoever has it is alone with the tenant's money, and with its place in the tiers.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger import statements as st
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.database import insert
from serving.ledger.events import usage_event
from serving.ledger.parts import METERS, parts_from_text, parts_to_text, tokens_of
from serving.ledger.records import (
    FORM,
    Charge,
    Entry,
    LedgerError,
    Pricing,
    TokensBefore,
    UnknownRequestError,
    Usage,
)

RESERVED: Final = "reserved"
SETTLED: Final = "settled"
RELEASED: Final = "released"


def locked_account(connection: sa.Connection, tenant: str, month: str) -> sa.Row[Any]:
    """A tenant's account, made where it is missing; nobody else is at the tenant."""
    if connection.execute(st.LOCK_CHAIN, {"of_tenant": tenant}).one_or_none() is None:
        connection.execute(
            insert(connection, schema.chains)
            .values(tenant=tenant, number=0, hash=FIRST_HASH)
            .on_conflict_do_nothing()
        )
        locked_chain(connection, tenant)
    of_account = {"of_tenant": tenant, "of_month": month}
    account = connection.execute(st.FIND_ACCOUNT, of_account).one_or_none()
    if account is None:
        connection.execute(
            insert(connection, schema.accounts)
            .values(tenant=tenant, month=month, spent_micro=0, reserved_micro=0)
            .on_conflict_do_nothing()
        )
        account = connection.execute(st.FIND_ACCOUNT, of_account).one()
    return account


def locked_chain(connection: sa.Connection, tenant: str) -> sa.Row[Any]:
    """The end of a tenant's chain of entries; nobody else is at the tenant."""
    return connection.execute(st.LOCK_CHAIN, {"of_tenant": tenant}).one()


def locked_request(connection: sa.Connection, request_id: str) -> sa.Row[Any]:
    """A request that nobody else may end meanwhile.

    Raises:
      UnknownRequestError: there is none.
    """
    request = connection.execute(st.LOCK_REQUEST, {"of_request": request_id}).one_or_none()
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
    of_request = {"of_request": request.request_id}
    connection.execute(st.END_REQUEST, of_request | {"new_state": state})
    if state == RELEASED:
        connection.execute(st.FREE_KEY, of_request)


def add_to_account(
    connection: sa.Connection,
    tenant: str,
    month: str,
    spent: int = 0,
    reserved: int = 0,
) -> None:
    connection.execute(
        st.ADD_TO_ACCOUNT,
        {
            "of_tenant": tenant,
            "of_month": month,
            "more_spent": spent,
            "more_reserved": reserved,
        },
    )


def tokens_before(
    connection: sa.Connection, tenant: str, month: str, model: str
) -> TokensBefore:
    """What the tenant's month has used of a model; its chain must be locked."""
    of = {"of_tenant": tenant, "of_month": month, "of_model": model}
    row = connection.execute(st.TOKENS_BEFORE, of).one_or_none()
    return TokensBefore() if row is None else TokensBefore(*row)


def priced(
    request: sa.Row[Any], usage: Usage, charge: Charge | Pricing, before: TokensBefore
) -> Charge:
    """A request's charge.

    Raises:
      LedgerError: it is more than was reserved, or its parts are not of the tokens used.
    """
    if not isinstance(charge, Charge):
        charge = charge(usage, before)
    if charge.amount_micro > request.reserved_micro:
        raise LedgerError(
            f"The request {request.request_id} costs {charge.amount_micro} millionths. "
            f"Expected: at most the {request.reserved_micro} that are reserved for it."
        )
    of_parts = tuple(tokens_of(charge.parts, meter) for meter in METERS)
    cached = usage.cached_tokens
    used = (usage.input_tokens - cached, cached, usage.output_tokens)
    if charge.parts and of_parts != used:
        raise LedgerError(
            f"The request {request.request_id} used {used} tokens ({', '.join(METERS)}). Its "
            f"charge is of {of_parts}."
        )
    return charge


def before_of(before: TokensBefore) -> dict[str, Any]:
    """Its fields as an entry has them."""
    return {f"{name}_before": count for name, count in asdict(before).items()}


def reversal_of(charge: Entry, month: str, before: TokensBefore) -> Entry:
    """An entry of a charge's negatives, at its own place in the month."""
    parts = parts_from_text(charge.parts)
    return replace(
        charge,
        kind="reversal",
        input_tokens=-charge.input_tokens,
        cached_tokens=-charge.cached_tokens,
        output_tokens=-charge.output_tokens,
        amount_micro=-charge.amount_micro,
        parts=parts_to_text(part.negative() for part in parts),
        form=FORM,  # that of the charge may be an older one
        month=month,
        **before_of(before),
    )


def append_entry(connection: sa.Connection, entry: Entry, chain: sa.Row[Any]) -> Entry:
    """Put an entry at the end of its tenant's chain, and its event into the outbox.

    Args:
      entry: all but its number and its hashes; at `tokens_before`, in this transaction.
      chain: from `locked_chain`, in this transaction.
    """
    entry = replace(entry, number=chain.number + 1, previous_hash=chain.hash)
    entry = replace(entry, hash=entry_hash(entry))
    connection.execute(st.ADD_ENTRY, asdict(entry))
    connection.execute(
        st.MOVE_CHAIN,
        {"of_tenant": entry.tenant, "new_number": entry.number, "new_hash": entry.hash},
    )
    _add_to_month(connection, entry)
    connection.execute(st.ADD_EVENT, {"event": usage_event(entry)})
    return entry


def _add_to_month(connection: sa.Connection, entry: Entry) -> None:
    counts = {
        "input_tokens": entry.input_tokens,
        "cached_tokens": entry.cached_tokens,
        "output_tokens": entry.output_tokens,
    }
    of = {"of_tenant": entry.tenant, "of_month": entry.month, "of_model": entry.model}
    more = {f"more_{name}": count for name, count in counts.items()}
    if connection.execute(st.ADD_TOKENS, of | more).rowcount:
        return
    # Nobody else can add it meanwhile: the tenant's chain is locked.
    connection.execute(
        st.ADD_MONTH,
        {"tenant": entry.tenant, "month": entry.month, "model": entry.model, **counts},
    )
