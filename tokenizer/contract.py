"""The counting contract, version 1: what a metered model guarantees about its counts.

This module is the only definition of the contract. It imports only the standard
library, so that the gateway, the ledger and the client can check a model against it without
TensorFlow.

For every row of a batch, independent of the other rows, of padding and of batching:

==================  ======  =============================================================
output              dtype   meaning (every output has shape ``[batch]``)
==================  ======  =============================================================
summary             string  the detokenised ids before the first EOS, always valid UTF-8
input_tokens        int32   ids of the caller's text that the encoder read, after
                            truncation; no task prefix, no BOS/EOS, no padding
output_tokens       int32   ids that the decoder wrote before the first EOS; no EOS, no
                            decoder start, no padding
total_tokens        int32   ``input_tokens + output_tokens``
truncated_tokens    int32   ids of the caller's text that were cut off and are not billed
finish_reason       string  ``stop`` when EOS was written, ``length`` when the limit came
                            first
==================  ======  =============================================================

So for any text ``len(reference.encode(text)) == input_tokens + truncated_tokens``, where
the reference is the tokenizer's own library. ``output_tokens`` counts what was generated,
which need not equal what encoding the summary again would give.

Text is only text: a caller cannot produce ids that steer the model by typing their names. A
typed ``</s>``, ``<pad>`` or ``<extra_id_0>`` is segmented and counted like any other
characters; where the library alone would turn it into an id, the reference is the library
without the names of its special tokens. An added token that a checkpoint's tokenizer does not
mark as special is content: it is one id wherever the library finds it, and has its text in a
summary. A special id that the model writes is counted, and has no text.

A caller's limit on the ids that are written applies to its own row. 0 and more than the model's
limit stand for the model's; below 0 nothing is written: the summary is empty, ``output_tokens``
0 and the finish reason ``length``. No limit makes another row fail.

A model that forces EOS at its limit has not ended by itself: the row's finish reason is
``length``, and the forced EOS is not counted, like any EOS.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

CONTRACT_VERSION: Final = 1

# Signatures of a metered SavedModel.
SIGNATURE_DEFAULT: Final = "serving_default"
SIGNATURE_SUMMARIZE: Final = "summarize"
SIGNATURE_COUNT_TOKENS: Final = "count_tokens"

# Inputs of those signatures.
INPUT_TEXT: Final = "text"
INPUT_MAX_OUTPUT_TOKENS: Final = "max_output_tokens"

# Outputs, in the order of the table above.
SUMMARY: Final = "summary"
INPUT_TOKENS: Final = "input_tokens"
OUTPUT_TOKENS: Final = "output_tokens"
TOTAL_TOKENS: Final = "total_tokens"
TRUNCATED_TOKENS: Final = "truncated_tokens"
FINISH_REASON: Final = "finish_reason"

OUTPUT_DTYPES: Final[dict[str, str]] = {
    SUMMARY: "string",
    INPUT_TOKENS: "int32",
    OUTPUT_TOKENS: "int32",
    TOTAL_TOKENS: "int32",
    TRUNCATED_TOKENS: "int32",
    FINISH_REASON: "string",
}
COUNT_OUTPUTS: Final = (INPUT_TOKENS, TRUNCATED_TOKENS)

FINISH_STOP: Final = "stop"
FINISH_LENGTH: Final = "length"
FinishReason = Literal["stop", "length"]

# Files of a SavedModel directory, relative to it.
METERING_FILE: Final = "assets.extra/metering.json"
WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
BASE_FILE: Final = "assets.extra/base.json"
# The tokenizer's folder, for whoever wants to count beside the model.
TOKENIZER_DIR: Final = "assets.extra/tokenizer"


class ContractError(ValueError):
    """An output or a metering record breaks the contract. Never worth a retry."""


@dataclass(frozen=True, slots=True)
class MeteredSummary:
    """One row of a metered model's output.

    Attributes are the contract's outputs; counts are in tokens of the model's own
    tokenizer.
    """

    summary: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    truncated_tokens: int
    finish_reason: FinishReason

    def __post_init__(self) -> None:
        """Refuse a row that contradicts itself.

        Raises:
          ContractError: a count is negative, the total is not the sum, or the finish
            reason is unknown.
        """
        for name in (INPUT_TOKENS, OUTPUT_TOKENS, TOTAL_TOKENS, TRUNCATED_TOKENS):
            if getattr(self, name) < 0:
                raise ContractError(
                    f"{name} must not be negative. Received: {getattr(self, name)}"
                )
        if self.total_tokens != self.input_tokens + self.output_tokens:
            raise ContractError(
                "total_tokens must equal input_tokens + output_tokens. Received: "
                f"{self.total_tokens} for {self.input_tokens} + {self.output_tokens}"
            )
        if self.finish_reason not in (FINISH_STOP, FINISH_LENGTH):
            raise ContractError(
                f"finish_reason must be '{FINISH_STOP}' or '{FINISH_LENGTH}'. "
                f"Received: {self.finish_reason!r}"
            )

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Return one element of TF Serving's ``predictions`` as a checked value.

        Raises:
          ContractError: an output is missing, or the row contradicts itself.
        """
        missing = [name for name in OUTPUT_DTYPES if name not in row]
        if missing:
            raise ContractError(
                f"the response lacks {', '.join(missing)}. Expected: the outputs "
                f"{', '.join(OUTPUT_DTYPES)} of a metered model. Received: "
                f"{', '.join(sorted(row)) or 'nothing'}. Check that the served model is "
                "metered."
            )
        return cls(**{name: row[name] for name in OUTPUT_DTYPES})


@dataclass(frozen=True, slots=True)
class BaseModelSpec:
    """A base SavedModel's description of itself, for Meter (``assets.extra/base.json``).

    A base model is a SavedModel whose restored object offers three functions:

    - ``tokenize(text: string [batch]) -> int32 RaggedTensor [batch, None]``: every id of
      the caller's text; no special ids, no prefix, no truncation;
    - ``generate(input_ids: int32 [batch, length], input_length: int32 [batch],
      max_output_tokens: int32 [batch]) -> int32 [batch, steps]``: the ids the decoder
      wrote, up to and including the first EOS, then ``pad_id``. ``input_ids`` are at most
      ``max_input_tokens`` of the caller's ids, padded; the function itself adds prefix and
      EOS. ``max_output_tokens`` is a per-row limit of decoder steps, 0 for only the model's
      own; the smaller of the two applies. A batch of 0 rows gives 0 rows;
    - ``detokenize(output_ids: int32 RaggedTensor [batch, None]) -> string [batch]``.

    ``num_beams`` is how many sequences the decoder follows at a time: with
    ``max_output_tokens`` it says how much work an answer is.
    """

    model_family: str
    tokenizer_kind: str
    tokenizer_fingerprint: str
    vocabulary_size: int
    pad_id: int
    eos_id: int
    max_input_tokens: int
    max_output_tokens: int
    task_prefix: str
    num_beams: int = 1
    xla_rows: tuple[int, ...] = ()
    """Numbers of rows that XLA compiles decoding for; empty if it compiles nothing."""
    xla_widths: tuple[int, ...] = ()
    """Ids of a row, prefix and EOS included, that it is compiled for, with each of those."""

    def save(self, model_dir: str | Path) -> None:
        _write_json(Path(model_dir) / BASE_FILE, asdict(self))

    @classmethod
    def load(cls, model_dir: str | Path) -> Self:
        """Read a base model's own description.

        Raises:
          ContractError: the file is missing or lacks a field.
        """
        return cls(**_read_fields(cls, Path(model_dir) / BASE_FILE))


@dataclass(frozen=True, slots=True)
class MeteringRecord:
    """``assets.extra/metering.json`` of a metered version: how its counts are made.

    Attributes:
      contract_version: of the counting contract that the counts follow.
      model_family: ``t5`` or ``bart``.
      tokenizer_kind: ``sentencepiece`` or ``byte_level_bpe``.
      tokenizer_fingerprint: SHA-256 of the tokenizer's canonical files; see
        ``tokenizer/fingerprint.py``.
      vocabulary_size: number of ids of the tokenizer.
      max_input_tokens: maximum number of ids of a text that the encoder reads; the rest is
          truncated.
      max_output_tokens: maximum number of ids that the decoder writes.
      task_prefix: text put before every document; never counted.
      pipeline_run: id of the run that made the version.
      spans: spans of the corpus that it was trained on; only 0 for a corpus without spans.
      code_version: hash of the sources that made it, 16 hexadecimal digits.
      xla_rows: numbers of rows that XLA compiles decoding for. Empty if it compiles nothing;
        else a server must be started so that it may.
      xla_widths: ids of a row, prefix and EOS included, that it is compiled for, with each of
        those.
    """

    contract_version: int
    model_family: str
    tokenizer_kind: str
    tokenizer_fingerprint: str
    vocabulary_size: int
    max_input_tokens: int
    max_output_tokens: int
    task_prefix: str
    pipeline_run: str
    spans: tuple[int, ...]
    code_version: str
    xla_rows: tuple[int, ...] = ()
    xla_widths: tuple[int, ...] = ()

    def save(self, model_dir: str | Path) -> None:
        _write_json(Path(model_dir) / METERING_FILE, asdict(self))

    @classmethod
    def load(cls, model_dir: str | Path) -> Self:
        """Read a metered version's record.

        Raises:
          ContractError: the file is missing, lacks a field, or states a contract version
            this code does not know.
        """
        values = _read_fields(cls, Path(model_dir) / METERING_FILE)
        if values["contract_version"] != CONTRACT_VERSION:
            raise ContractError(
                f"{model_dir} follows counting contract {values['contract_version']}. "
                f"Expected: {CONTRACT_VERSION}. Use the release of Tallygraph that made the "
                "model."
            )
        return cls(**values)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read_fields(cls: type, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractError(
            f"{path} does not exist. Expected: a SavedModel written by this pipeline."
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ContractError(f"{path} lacks an object.")
    required = [field.name for field in fields(cls) if field.default is MISSING]
    if missing := [name for name in required if name not in values]:
        raise ContractError(f"{path} lacks {', '.join(missing)}.")
    return {
        field.name: tuple(value) if isinstance(value, list) else value
        for field in fields(cls)
        if (value := values.get(field.name, field.default)) is not MISSING
    }
