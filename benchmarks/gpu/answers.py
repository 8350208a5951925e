"""A pushed version's answers: equal to the CPU's or not, alone and in batches, and how fast."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.environment import usable_cores
from benchmarks.gpu.child import Report, timings
from benchmarks.session import SignatureRunner
from tokenizer import contract

_BATCH = 64
_ALONE = 64
Row = list[Any]


def measure(
    report: Report, material: str, tf32: bool = True, batches: tuple[int, ...] = (1, 8, 32, 64)
) -> dict[str, Any]:
    """Ask for the summaries of all texts, 64 at a time, and of some alone and by eight.

    Returns:
      ``answers``, a row of the contract's six outputs for each text; how many rows differ
      from those alone and by eight; milliseconds by batch size.
    """
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    texts = [text.encode() for text in json.loads(Path(material, "texts.json").read_text())]
    run = SignatureRunner(Path(material, "version"), threads=usable_cores())

    def ask(batch: list[bytes]) -> list[Row]:
        columns = run(text=np.array(batch, object))
        rows = zip(*(columns[name].tolist() for name in contract.OUTPUT_DTYPES), strict=True)
        return [[_readable(value) for value in row] for row in rows]

    def in_batches(size: int, of: list[bytes]) -> list[Row]:
        return [row for i in range(0, len(of), size) for row in ask(of[i : i + size])]

    answers = in_batches(_BATCH, texts)
    by_eight = in_batches(8, texts[: 2 * _BATCH])
    alone = in_batches(1, texts[:_ALONE])
    found: dict[str, Any] = {
        "answers": answers,
        "alone_differ": sum(a != b for a, b in zip(alone, answers, strict=False)),
        "alone": len(alone),
        "by_eight_differ": sum(a != b for a, b in zip(by_eight, answers, strict=False)),
        "by_eight": len(by_eight),
        "ms": {},
    }
    # Counting alone: what tokenizing costs, with its strings, and the way there and back.
    count = SignatureRunner(
        Path(material, "version"),
        threads=usable_cores(),
        signature=contract.SIGNATURE_COUNT_TOKENS,
    )
    found["count_ms"] = {}
    for size in batches:
        of = np.array(texts[:size], object)
        found["ms"][str(size)] = timings(partial(run, text=of))["ms"]
        found["count_ms"][str(size)] = timings(partial(count, text=of))["ms"]
        report(found)
    return found


def _readable(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
