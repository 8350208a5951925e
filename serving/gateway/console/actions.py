"""What can be done by the console: each action's fields, how it is confirmed, and what does it.

Every one is a function of `serving.gateway.administration`, as it is for the admin API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from serving.gateway import administration
from serving.gateway.admin.access import said
from serving.gateway.administration import KeyWish
from serving.gateway.administration.health import record_check
from serving.gateway.administration.ledger import anchor_ledger, check_ledger
from serving.gateway.administration.prices import reload_prices
from serving.gateway.console import action_values
from serving.gateway.console.action_values import LIMITS, Values
from serving.gateway.console.forms import Form
from serving.gateway.console.sessions import PATH
from serving.gateway.console.site import Visit, go_to
from serving.gateway.tenants import Limits
from serving.ledger.authentication import LedgerKey

_HOUR_S: Final = 3600


@dataclass(frozen=True)
class Action:
    """
    Attributes:
      title: what it is, on the page that asks for confirmation, and on its button.
      told: what will happen.
      read: the values of its form, checked as far as a form can be; whatever is wrong with them
        is a `GatewayError`.
      do: does it, given the values and what only this form carries, by which it is done once.
      serious: whether it cannot be undone.
    """

    title: str
    told: str
    read: Callable[[Form], Values]
    do: Callable[[Visit, Values, str], Awaitable[Response]]
    serious: bool = False


async def _create_tenant(visit: Visit, values: Values, once: str) -> Response:
    limits = await _limits_of(visit, values)
    await visit.do(
        administration.create_tenant,
        visit.administrator(once),
        values["tenant"],
        values["plan"],
        limits,
    )
    return _back_to_tenant(values["tenant"], "tenant-created")


async def _change_tenant(visit: Visit, values: Values, once: str) -> Response:
    limits = asdict(await _limits_of(visit, values))
    await visit.do(
        administration.change_tenant,
        visit.administrator(once),
        values["tenant"],
        values["plan"],
        limits,
    )
    return _back_to_tenant(values["tenant"], "tenant-changed")


async def _create_key(visit: Visit, values: Values, once: str) -> Response:
    def make() -> administration.NewKey:
        wish = KeyWish(**{k: v for k, v in values.items() if k != "tenant"})
        return administration.make_key(visit.administrator(once), values["tenant"], wish)

    return visit.page("new_key.html", new=await visit.do(make), until=None)


async def _rotate_key(visit: Visit, values: Values, once: str) -> Response:
    overlap = timedelta(seconds=values["overlap_hours"] * _HOUR_S)
    new = await visit.do(
        administration.rotate_key, visit.administrator(once), values["key_id"], overlap
    )
    return visit.page("new_key.html", new=new, until=new.record.previous_until)


async def _suspend_key(visit: Visit, values: Values, once: str) -> Response:
    return await _suspended(visit, values, once, True)


async def _resume_key(visit: Visit, values: Values, once: str) -> Response:
    return await _suspended(visit, values, once, False)


async def _suspended(visit: Visit, values: Values, once: str, suspended: bool) -> Response:
    change = {"suspended": suspended}
    await visit.do(
        administration.change_key, visit.administrator(once), values["key_id"], change
    )
    return _back_to_key(values["key_id"], f"key-{'suspended' if suspended else 'resumed'}")


async def _revoke_key(visit: Visit, values: Values, once: str) -> Response:
    await visit.do(administration.revoke_key, visit.administrator(once), values["key_id"])
    return _back_to_key(values["key_id"], "key-revoked")


async def _top_up_credit(visit: Visit, values: Values, once: str) -> Response:
    admin = visit.console.admin
    await visit.do(
        administration.read_tenant, visit.engine, values["tenant"], visit.console.month()
    )
    await visit.do(
        administration.top_up_credit,
        visit.administrator(once),
        values["tenant"],
        values["amount_micro"],
        admin.prices.book.currency,
        values["reason"],
        f"console-{once}",
        await _ledger_key(visit),
    )
    return _back_to_tenant(values["tenant"], "credit-added")


async def _refund_charge(visit: Visit, values: Values, once: str) -> Response:
    await visit.do(
        administration.refund_charge,
        visit.administrator(once),
        values["tenant"],
        values["number"],
        values["reason"],
        await _ledger_key(visit),
        amount_micro=values["amount_micro"],
    )
    return _back_to_tenant(values["tenant"], "refunded")


async def _ledger_key(visit: Visit) -> LedgerKey | None:
    """What entries are authenticated with; read anew, as the commands do."""
    path = visit.console.admin.ledger_key
    key: LedgerKey | None = await visit.do(LedgerKey.load, path) if path else None
    return key


async def _reload_prices(visit: Visit, values: Values, once: str) -> Response:
    prices = visit.console.admin.prices
    changed = await visit.do(reload_prices, visit.administrator(once), prices)
    return go_to(f"{PATH}/prices?done=prices-{'reloaded' if changed else 'unchanged'}")


async def _check_ledger(visit: Visit, values: Values, once: str) -> Response:
    tenant, key = values["tenant"], visit.console.admin.ledger_key
    if tenant:
        await visit.do(administration.read_tenant, visit.engine, tenant, "")
    with said():
        checked = await check_ledger(visit.engine, tenant, [key] if key else [])
    await visit.do(record_check, visit.administrator(once), tenant, checked)
    return visit.page("checked.html", checked=checked, tenant=tenant, with_key=key is not None)


async def _make_anchor(visit: Visit, values: Values, once: str) -> Response:
    key = visit.console.admin.ledger_key
    lines = await visit.do(anchor_ledger, visit.administrator(once), key, False)
    return visit.page("anchor.html", lines=lines)


async def _limits_of(visit: Visit, values: Values) -> Limits:
    limits: Limits = await visit.do(Limits, **{name: values[name] for name in LIMITS})
    return limits


def _back_to_tenant(tenant: str, done: str) -> Response:
    return go_to(f"{PATH}/tenants/{tenant}?done={done}")


def _back_to_key(key_id: str, done: str) -> Response:
    return go_to(f"{PATH}/keys/{key_id}?done={done}")


ACTIONS: Final[Mapping[str, Action]] = {
    "create-tenant": Action(
        "Create tenant",
        "A tenant is added, without a key.",
        action_values.tenant,
        _create_tenant,
    ),
    "change-tenant": Action(
        "Change tenant",
        "Plan and limits are these from now on; a limit that is empty is none. What is under "
        "way ends by the old ones.",
        action_values.tenant,
        _change_tenant,
    ),
    "create-key": Action(
        "Create key",
        "A key is made. Its secret is shown once, on the next page.",
        action_values.new_key,
        _create_key,
    ),
    "rotate-key": Action(
        "Rotate key",
        "The key gets a new secret, which is shown once, on the next page. The secret before "
        "is accepted for so long.",
        action_values.rotation,
        _rotate_key,
    ),
    "suspend-key": Action(
        "Suspend key",
        "Requests with the key are refused until it is resumed.",
        action_values.key,
        _suspend_key,
    ),
    "resume-key": Action(
        "Resume key", "The key is accepted again.", action_values.key, _resume_key
    ),
    "revoke-key": Action(
        "Revoke key",
        "Requests with the key are refused from now on. This cannot be undone.",
        action_values.key,
        _revoke_key,
        serious=True,
    ),
    "top-up": Action(
        "Add credit",
        "The amount is added to the tenant's prepaid credit. From its first top-up on, a "
        "tenant is refused when its credit is used up. Entries are never changed.",
        action_values.top_up,
        _top_up_credit,
        serious=True,
    ),
    "refund": Action(
        "Refund",
        "So much of the charge is given back; all that is left of it, where no amount is "
        "given. Entries are never changed.",
        action_values.refund,
        _refund_charge,
        serious=True,
    ),
    "reload-prices": Action(
        "Reload the price book",
        "The price book's file is read again by this gateway. Where it cannot be used, the "
        "former one stays.",
        action_values.nothing,
        _reload_prices,
    ),
    "check-ledger": Action(
        "Verify the ledger",
        "All entries are verified by a process of its own; a million take about 20 seconds. "
        "What is found is written into the audit log.",
        action_values.check,
        _check_ledger,
    ),
    "make-anchor": Action(
        "Make an anchor",
        "The ends of all chains are put into lines, to be kept where nobody can reach them "
        "from the ledger.",
        action_values.nothing,
        _make_anchor,
    ),
}
