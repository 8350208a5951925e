"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks import markdown
from benchmarks.timings import median_with_range
from benchmarks.train.measure import Result

_HEADER = ("", "parameters", "examples/s", "ratio", "loss, last round")
REFERENCE = "PyTorch, float32, the same batches"

_PAGE = """# Training speed

Examples per second of the training loop that the pipeline runs, including the input pipeline,
compared with a plain PyTorch loop: transformers' model of the same sizes,
`torch.optim.Adafactor`, dropout 0.1, batches of {batch_size} rows. The two sides take turns in
separate processes, with {threads} threads each; median of {rounds} rounds of {steps} steps,
lowest and highest in brackets. "The same batches" are the ids that our input pipeline makes,
passed as arrays; "padded to the longest row" are the same rows in random order, as a loop that
does not consider lengths would batch them. The ratio is to {reference}.

{tables}
Measured on {environment}.
To measure again: `{command}` (PyTorch and transformers come from `--peers`).
"""


def render(
    results: Sequence[Result], *, environment: str, command: str, **settings: int
) -> str:
    """The page, in Markdown; see `benchmarks.train.__main__` for the settings."""
    tables = []
    for shape in dict.fromkeys(result.shape for result in results):
        own = [result for result in results if result.shape == shape]
        reference = median(
            speed for each in own if each.engine == REFERENCE for speed in each.examples_per_s
        )
        tables.append(f"## {shape}\n")
        rows = [
            (
                each.engine,
                f"{each.parameters:,}",
                median_with_range(each.examples_per_s),
                f"{each.median / reference:.2f}",
                f"{each.loss:.2f}",
            )
            for each in own
        ]
        tables.append(markdown.table(_HEADER, rows))
    return _PAGE.format(
        tables="\n".join(tables),
        environment=environment,
        command=command,
        reference=REFERENCE,
        **settings,
    )
