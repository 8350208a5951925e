"""What is kept of the results: comparisons in the place of the answers compared."""

from __future__ import annotations

import copy
from typing import Any

Results = dict[str, Any]

_INPUT_TOKENS, _TRUNCATED_TOKENS = 1, 4  # places in a row of the contract's outputs
_CPU = "answers cpu"


def summary(phases: Results) -> Results:
    """The phases without texts and ids.

    Where both are there, rows of a pushed model's answers are compared with the CPU's
    (``answers_differ``, ``counts_differ``, of ``texts``), and ids with those of transformers
    in the most exact arithmetic (``equal_rows``).
    """
    phases = copy.deepcopy(phases)
    cpu = phases.get(_CPU, {}).get("answers")
    for phase in phases.values():
        rows = phase.pop("answers", None)
        if rows is not None:
            phase["texts"] = len(rows)
            if cpu is not None:
                pairs = list(zip(rows, cpu, strict=True))
                phase["answers_differ"] = sum(a != b for a, b in pairs)
                phase["counts_differ"] = sum(_counts(a) != _counts(b) for a, b in pairs)
    reference = _references(phases)
    for name, phase in phases.items():
        for case in phase.get("cases", ()):
            ids = case.pop("ids", None)
            expected = reference.get((_shape(name), *case["case"]))
            if ids is not None and expected is not None:
                case["equal_rows"] = sum(a == b for a, b in zip(ids, expected, strict=True))
    return phases


def _counts(row: list[Any]) -> list[Any]:
    return [row[_INPUT_TOKENS], row[_TRUNCATED_TOKENS]]


def _shape(phase: str) -> str:
    return phase.split()[0]


def _references(phases: Results) -> dict[tuple[Any, ...], Any]:
    """transformers' ids by shape and case; float32's if they are there."""
    found = {}
    for arithmetic in ("tf32", "float32"):
        for name, phase in phases.items():
            for case in phase.get("cases", ()):
                if " torch" in name and case["arithmetic"] == arithmetic and "ids" in case:
                    found[_shape(name), *case["case"]] = case["ids"]
    return found
