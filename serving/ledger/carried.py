"""What a chain has come to at the end of an archive, as JSON: where another one goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping

from serving.ledger.budgets import Credit
from serving.ledger.verified_chain import Chain, Counts, ModelMonth


def carried(chain: Chain) -> str:
    """The state of a chain after its last entry."""
    credit = chain.credit and [
        chain.credit.since,
        chain.credit.bought_micro,
        chain.credit.used_micro,
    ]
    state = {
        "number": chain.number,
        "previous": chain.previous,
        "authenticated": chain.authenticated,
        "spent": chain.spent,
        "counts": chain.counts,
        "tokens": _listed(chain.tokens),
        "begins": _listed(chain.begins),
        "credit": credit,
    }
    return json.dumps(state, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def go_on(chain: Chain, text: str) -> None:
    """Have a new chain begin where another one had come to.

    Args:
      text: from `carried`.
    """
    state = json.loads(text)
    chain.begin_after(state["number"], state["previous"])
    chain.authenticated = state["authenticated"]
    chain.spent, chain.counts = state["spent"], state["counts"]
    chain.tokens, chain.begins = _read(state["tokens"]), _read(state["begins"])
    chain.credit = Credit(*state["credit"]) if state["credit"] else None


def _listed(counts: Mapping[ModelMonth, Counts]) -> list[tuple[str, str, Counts]]:
    return [(month, model, each) for (month, model), each in sorted(counts.items())]


def _read(listed: list[tuple[str, str, Counts]]) -> dict[ModelMonth, Counts]:
    return {
        (month, model): (counts[0], counts[1], counts[2]) for month, model, counts in listed
    }
