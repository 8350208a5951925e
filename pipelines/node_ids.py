"""Ids of nodes that are distinguished from others of the same type. No TFX in here."""

from __future__ import annotations

from typing import Final

TEST_EXAMPLE_GEN: Final = "TestExampleGen"
SPAN_EVALUATOR: Final = "SpanEvaluator"
SPAN_GATE: Final = "SpanGate"
STARTING_POINT: Final = "StartingPoint"
