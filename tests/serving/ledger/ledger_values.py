"""Usages and charges for the ledger's tests."""

from __future__ import annotations

from serving.ledger import Charge, Usage


def usage(**changes: object) -> Usage:
    values = {
        "model": "summarizer",
        "model_version": "1764037200",
        "tokenizer_fingerprint": "f" * 64,
        "contract_version": 1,
        "input_tokens": 120,
        "cached_tokens": 0,
        "output_tokens": 30,
        "finish_reasons": "stop",
        "latency_ms": 41,
    }
    return Usage(**(values | changes))  # type: ignore[arg-type]


def charge(amount_micro: int = 700) -> Charge:
    return Charge(amount_micro, "EUR", "2026-11/summarizer")
