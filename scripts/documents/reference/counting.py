"""The counting contract and the record of it that a pushed version carries."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields

from benchmarks.markdown import table
from scripts.documents.reference.text import attribute_meanings, cell, code, prose
from tokenizer import contract
from tokenizer.contract import MeteringRecord

_CONTRACT = """\
# The counting contract

Version {version}. It holds for every row of a batch, independent of the other rows, of padding
and of batching. Every output has shape `[batch]`.

{outputs}
{rest}

## Signatures

A metered SavedModel has three signatures. TensorFlow Serving offers each of them over REST and
gRPC.

| signature | inputs | outputs |
| --- | --- | --- |
| `{default}` | `{text}` | all six |
| `{summarize}` | `{text}`; `{limit}`, 0 for the model's own limit | all six |
| `{count}` | `{text}` | {counts} |

`{limit}` is the maximum number of output tokens of its row. `{count}` returns the tokens that a
text would be billed for, without running the model. Rows are independent: nothing in the graph
makes a batch fail because of one row.

[`{metering}`](metering-json.md) records how the counts are made. The tokenizer is in
`{tokenizer}`, so that anybody can repeat the count independently of the model. The contract is
defined only in [`tokenizer/contract.py`](../../tokenizer/contract.py), from which this page is
made.
"""

_METERING = """\
# metering.json

Every metered version has `{file}`, which records how its counts are made. A model server
ignores the file; the gateway reads it and responds with 502 rather than bill by a contract
version that it does not know.

{fields}
An example:

```json
{example}
```
"""

_EXAMPLE = MeteringRecord(
    contract_version=contract.CONTRACT_VERSION,
    model_family="t5",
    tokenizer_kind="sentencepiece",
    tokenizer_fingerprint="5f0c" + "0" * 60,
    vocabulary_size=8000,
    max_input_tokens=64,
    max_output_tokens=18,
    task_prefix="",
    pipeline_run="2026-11-27T12:47:32.491150",
    spans=(1, 2),
    code_version="3b1f0c2d4e5a6978",
)


def counting_contract() -> str:
    """The page of the contract."""
    before, rows, after = _parts(contract.__doc__ or "")
    del before  # it says for which rows, as the page's head does
    meanings = {name: meaning for name, _, meaning in rows}
    outputs = [
        (code(name), dtype, cell(prose(meanings[name])))
        for name, dtype in contract.OUTPUT_DTYPES.items()
    ]
    return _CONTRACT.format(
        version=contract.CONTRACT_VERSION,
        outputs=table(("output", "type", "meaning"), outputs),
        rest=prose(after),
        default=contract.SIGNATURE_DEFAULT,
        summarize=contract.SIGNATURE_SUMMARIZE,
        count=contract.SIGNATURE_COUNT_TOKENS,
        text=contract.INPUT_TEXT,
        limit=contract.INPUT_MAX_OUTPUT_TOKENS,
        counts=", ".join(map(code, contract.COUNT_OUTPUTS)),
        metering=contract.METERING_FILE,
        tokenizer=contract.TOKENIZER_DIR,
    )


def metering_json() -> str:
    """The page of ``metering.json``."""
    meanings = attribute_meanings(MeteringRecord)
    rows = [
        (code(each.name), cell(each.type), cell(meanings[each.name]))
        for each in fields(MeteringRecord)
    ]
    return _METERING.format(
        file=contract.METERING_FILE,
        fields=table(("field", "type", "meaning"), rows),
        example=json.dumps(asdict(_EXAMPLE), indent=2, sort_keys=True),
    )


def _parts(docstring: str) -> tuple[str, list[list[str]], str]:
    """What stands before the table of a docstring, its rows, and what follows it."""
    before, _, body, after = re.split(r"(?m)^=+(?:  =+)+\n", docstring, maxsplit=3)
    head = body  # between the second and the third line of signs
    (ruler,) = re.findall(r"(?m)^(=+(?:  =+)+)\n", docstring)[:1]
    starts = [found.start() for found in re.finditer(r"=+", ruler)]
    rows: list[list[str]] = []
    for line in head.splitlines():
        cells = [
            line[start:end].strip()
            for start, end in zip(starts, [*starts[1:], None], strict=True)
        ]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [
                f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)
            ]
    return before, rows, after
