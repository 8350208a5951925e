"""What the forms of actions say, checked as far as a form can be.

Each function raises a `GatewayError`, 400, where a value is missing or not valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from serving.gateway.api_keys import ALL
from serving.gateway.console.forms import Form
from serving.gateway.errors import bad_request

Values = Mapping[str, Any]
LIMITS: Final = ("budget_micro", "requests_per_minute", "tokens_per_minute", "max_concurrent")


def _limits(form: Form) -> dict[str, int | None]:
    return {
        "budget_micro": form.money("budget"),
        **{name: form.number(name) for name in LIMITS[1:]},
    }


def tenant(form: Form) -> Values:
    """Of a tenant: name, plan and limits."""
    limits = _limits(form)
    return {"tenant": form.required("tenant"), "plan": form.required("plan"), **limits}


def new_key(form: Form) -> Values:
    """Of a key that is to be made."""
    return {
        "tenant": form.required("tenant"),
        "name": form.text("name"),
        "models": form.words("models") or (ALL,),
        "scopes": form.words("scopes") or (ALL,),
        "budget_micro": form.money("budget"),
        "expires_at": form.end_of_day("expires"),
    }


def key(form: Form) -> Values:
    """Of a key: its id."""
    return {"key_id": form.required("key_id")}


def rotation(form: Form) -> Values:
    """Of a rotation: the key, and for how many hours the secret before is accepted."""
    hours = form.number("overlap_hours")
    return {**key(form), "overlap_hours": 24 if hours is None else min(hours, 10**6)}


def top_up(form: Form) -> Values:
    """Of credit."""
    amount = form.money("amount")
    if amount is None:
        raise bad_request("Amount is missing. Fill it in.", "amount")
    return {
        "tenant": form.required("tenant"),
        "amount_micro": amount,
        "reason": form.required("reason"),
    }


def refund(form: Form) -> Values:
    """Of a refund; no amount: all that is left."""
    number = form.number("number")
    if number is None:
        raise bad_request("The number of the charge is missing. Fill it in.", "number")
    return {
        "tenant": form.required("tenant"),
        "number": number,
        "amount_micro": form.money("amount"),
        "reason": form.required("reason"),
    }


def check(form: Form) -> Values:
    """Of a check: the tenant; empty for all."""
    return {"tenant": form.text("tenant")}


def nothing(form: Form) -> Values:
    """Nothing is to be said."""
    return {}
