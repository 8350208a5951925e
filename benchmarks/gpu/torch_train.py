"""A plain PyTorch loop on the same batches; runs in the peers' environment."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.child import Report
from benchmarks.train.plain_torch import build

_NAMES = (
    "encoder_token_ids",
    "encoder_padding_mask",
    "decoder_token_ids",
    "decoder_padding_mask",
    "labels",
)


def measure(
    report: Report,
    material: str,
    shape: dict[str, Any],
    batches: str,
    steps: int,
    modes: list[str],
    device: str = "cuda",
) -> dict[str, Any]:
    """Train.

    Args:
      material: folder of ``examples``.
      shape: sizes, as `benchmarks.train.plain_torch.build` takes them.
      batches: file of `benchmarks.gpu.train`.
      steps: of each of three rounds.
      modes: ``tf32`` or ``bfloat16`` (autocast), with ``compile`` before it for
        ``torch.compile``.

    Returns:
      ``modes``: for each ``first_s`` and ``rounds``, as `benchmarks.gpu.train`.
    """
    vocabulary = json.loads(Path(material, "examples", "vocabulary.json").read_text())
    arrays = np.load(batches)
    rows = [
        {name: torch.from_numpy(arrays[f"{i}/{name}"]).long().to(device) for name in _NAMES}
        for i in range(len(arrays.files) // len(_NAMES))
    ]
    found: dict[str, Any] = {"modes": {}}
    torch.set_float32_matmul_precision("high")
    for mode in modes:
        torch.manual_seed(20)
        model = build(shape, vocabulary).to(device)
        model.train()
        optimizer = torch.optim.Adafactor(model.parameters(), lr=0.003)
        run = torch.compile(model) if "compile" in mode else model
        made = 0

        def go(count: int, mode: str = mode, run: Any = run, optimizer: Any = optimizer) -> Any:
            nonlocal made
            started = time.perf_counter()
            losses = []
            for _ in range(count):
                batch = rows[made % len(rows)]
                made += 1
                mask = batch["decoder_padding_mask"]
                optimizer.zero_grad()
                with torch.autocast(device, torch.bfloat16, enabled="bfloat16" in mode):
                    loss = run(
                        input_ids=batch["encoder_token_ids"],
                        attention_mask=batch["encoder_padding_mask"],
                        decoder_input_ids=batch["decoder_token_ids"],
                        decoder_attention_mask=mask,
                        labels=batch["labels"].masked_fill(mask == 0, -100),
                    ).loss
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            mean = float(torch.stack(losses).mean())
            seconds = time.perf_counter() - started
            size = len(rows[0]["labels"])
            return [round(count * size / seconds, 1), round(mean, 3)]

        started = time.perf_counter()
        go(1)
        first = round(time.perf_counter() - started, 1)
        go(steps)
        found["modes"][mode] = {"first_s": first, "rounds": [go(steps) for _ in range(3)]}
        report(found)
    return found
