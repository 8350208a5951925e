"""Asks before an action is done, and does what a form asks for once.

A form has a number of its own from the page that it stands on; the page that asks for
confirmation passes it on, and the change's row of the audit log has it, in the transaction of
the change. So a form that is confirmed twice, at two gateways too, or is sent again after going
back, changes nothing again: whoever sends it is shown what was done.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final
from weakref import WeakValueDictionary

from starlette.responses import Response

from serving.gateway.console.action_values import Values
from serving.gateway.console.actions import ACTIONS, Action
from serving.gateway.console.forms import Form
from serving.gateway.console.site import Visit, new_once
from serving.gateway.errors import GatewayError
from serving.ledger.audit_log import Change, read_confirmed

_ONCE: Final = re.compile("[0-9a-f]{1,64}")
_OUR_OWN: Final = frozenset({"form_token", "confirmed", "once"})
_LABELS: Final = {
    "budget_micro": "Budget of a month",
    "requests_per_minute": "Requests a minute",
    "tokens_per_minute": "Tokens a minute",
    "max_concurrent": "Requests at a time",
    "key_id": "Key",
    "expires_at": "Expires",
    "overlap_hours": "Hours that the secret before is accepted",
    "amount_micro": "Amount",
    "number": "Number of the charge",
}
_EMPTY: Final = {"amount_micro": "all that is left", "expires_at": "never", "tenant": "all"}


class Confirmations:
    """For one gateway: a form that arrives twice at a time is done by one request, and the
    other one waits for it."""

    def __init__(self) -> None:
        self._under_way = WeakValueDictionary[str, asyncio.Lock]()

    async def act(self, visit: Visit) -> Response:
        """Ask for confirmation, or, if it is given, do it; or show that it is done.

        Raises:
          GatewayError: there is no such action, a value is not valid, or it is refused.
        """
        assert visit.form is not None
        name = visit.request.path_params["action"]
        action = ACTIONS.get(name)
        if action is None:
            raise GatewayError(404, "There is no such action.", code="no_such_path")
        values, once = action.read(visit.form), _once_of(visit.form)
        async with self._under_way.setdefault(once, asyncio.Lock()):
            change = await _made(visit, once)
            if change is None and visit.form.text("confirmed") != "yes":
                return _ask(visit, action, values, once)
            if change is None:
                try:
                    return await action.do(visit, values, once)
                except GatewayError:
                    # Another gateway may have made it meanwhile.
                    change = await _made(visit, once)
                    if change is None:
                        raise
        return visit.page("done.html", action=action, change=change)


def _once_of(form: Form) -> str:
    """What only this form carries; of one that carries nothing valid, something new."""
    given = form.text("once")
    return given if _ONCE.fullmatch(given) else new_once()


async def _made(visit: Visit, once: str) -> Change | None:
    """The change that the form has made before."""
    change: Change | None = await visit.do(read_confirmed, visit.engine, once)
    return change


def _ask(visit: Visit, action: Action, values: Values, once: str) -> Response:
    assert visit.form is not None
    return visit.page(
        "confirm.html",
        action=action,
        rows=_rows(visit, values),
        fields=[
            (field, value)
            for field, given in visit.form.fields.items()
            for value in given
            if field not in _OUR_OWN
        ],
        of_form=once,
    )


def _rows(visit: Visit, values: Values) -> list[tuple[str, str]]:
    return [
        (_LABELS.get(name, name.capitalize()), _shown(visit, name, value))
        for name, value in values.items()
    ]


def _shown(visit: Visit, name: str, value: Any) -> str:
    if value is None or value == "":
        return _EMPTY.get(name, "none")
    if name.endswith("_micro"):
        return f"{visit.console.money()(value)} {visit.console.admin.prices.book.currency}"
    if name == "expires_at":
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
