"""Decoding by transformers on PyTorch; runs in the peers' environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.decode.cases import SHAPES
from benchmarks.gpu.child import Report, timings
from benchmarks.gpu.decode_rows import rows_of

_DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def measure(
    report: Report, directory: str, shape: str, cases: list[list[Any]], device: str = "cuda"
) -> dict[str, Any]:
    """Decode; arguments and result as those of `benchmarks.gpu.decode`."""
    transformers.logging.set_verbosity_error()
    of = SHAPES[shape]
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        Path(directory, "hugging_face"), dtype=torch.float32
    )
    model = model.eval().to(device)
    found: dict[str, Any] = {
        "about": f"transformers {transformers.__version__}, PyTorch {torch.__version__}",
        "cases": [],
    }
    for arithmetic, batch, ids_in, ids_out in cases:
        torch.set_float32_matmul_precision("high" if arithmetic == "tf32" else "highest")
        model = model.to(_DTYPES[arithmetic])
        ids = torch.from_numpy(rows_of(of, batch, ids_in).copy()).to(device)
        written = ids

        def generate(model: Any = model, ids: Any = ids, ids_out: int = ids_out) -> None:
            nonlocal written
            with torch.inference_mode():
                written = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=ids_out,
                    do_sample=False,
                    num_beams=1,
                    use_cache=True,
                )[:, 1:].cpu()

        case = {"arithmetic": arithmetic, "case": [batch, ids_in, ids_out]}
        found["cases"].append({**case, **timings(generate), "ids": written.tolist()})
        report(found)
    return found
