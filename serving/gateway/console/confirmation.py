"""Asks before an action is done, and does each confirmation once."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.responses import Response

from serving.gateway.console.action_values import Values
from serving.gateway.console.actions import ACTIONS
from serving.gateway.console.site import Visit
from serving.gateway.errors import GatewayError

_REMEMBERED: Final = 10_000
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
    """For one gateway; a confirmation that is sent to it twice is done once."""

    def __init__(self) -> None:
        self._done: dict[str, None] = {}

    async def act(self, visit: Visit) -> Response:
        """Ask for confirmation, or, if it is given, do it.

        Raises:
          GatewayError: there is no such action, a value is not valid, it is done already, or
            it is refused.
        """
        assert visit.form is not None
        name = visit.request.path_params["action"]
        action = ACTIONS.get(name)
        if action is None:
            raise GatewayError(404, "There is no such action.", code="no_such_path")
        values = action.read(visit.form)
        once = visit.form.text("once")
        if visit.form.text("confirmed") != "yes" or not once:
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
                once=secrets.token_hex(16),
            )
        if once in self._done:
            raise GatewayError(
                409,
                "This was confirmed before and is done, or was refused. To do it again, begin "
                "at its page.",
                code="done_before",
            )
        self._done[once] = None
        while len(self._done) > _REMEMBERED:
            self._done.pop(next(iter(self._done)))
        return await action.do(visit, values, once)


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
