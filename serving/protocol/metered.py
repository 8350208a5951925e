"""A metered model's requests and answers: texts as columns of inputs, outputs as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from serving.protocol.errors import BadAnswerError
from serving.protocol.exchange import Columns
from tokenizer.contract import (
    COUNT_OUTPUTS,
    INPUT_MAX_OUTPUT_TOKENS,
    INPUT_TEXT,
    OUTPUT_DTYPES,
    SIGNATURE_COUNT_TOKENS,
    SIGNATURE_DEFAULT,
    SIGNATURE_SUMMARIZE,
    ContractError,
    MeteredSummary,
)

T = TypeVar("T")

_OUTPUTS: Final[Mapping[str, Sequence[str]]] = {
    SIGNATURE_DEFAULT: tuple(OUTPUT_DTYPES),
    SIGNATURE_SUMMARIZE: tuple(OUTPUT_DTYPES),
    SIGNATURE_COUNT_TOKENS: COUNT_OUTPUTS,
}
_TYPES: Final = {"string": str, "int32": int}


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The tokens that a text would be billed for, without running the model.

    Attributes:
      input_tokens: ids of the text that the encoder would read.
      truncated_tokens: ids that would be cut off and not billed.
    """

    input_tokens: int
    truncated_tokens: int


def summary_inputs(
    texts: Sequence[str | bytes], limits: Sequence[int] | None = None
) -> tuple[str, Columns]:
    """The signature that summarises texts, and its inputs.

    Args:
      limits: of output tokens, for each text, 0 for the model's own; None for no limits.
    """
    inputs: dict[str, list[Any]] = {INPUT_TEXT: list(texts)}
    if limits is None:
        return SIGNATURE_DEFAULT, inputs
    return SIGNATURE_SUMMARIZE, {**inputs, INPUT_MAX_OUTPUT_TOKENS: list(limits)}


def count_inputs(texts: Sequence[str | bytes]) -> tuple[str, Columns]:
    """The signature that counts texts' tokens, and its inputs."""
    return SIGNATURE_COUNT_TOKENS, {INPUT_TEXT: list(texts)}


def summaries(outputs: Columns) -> list[MeteredSummary]:
    """A summary for each row.

    Raises:
      BadAnswerError: a row contradicts itself.
    """
    try:
        return [MeteredSummary.from_row(row) for row in _rows(outputs, tuple(OUTPUT_DTYPES))]
    except ContractError as error:
        raise BadAnswerError(str(error)) from None


def token_counts(outputs: Columns) -> list[TokenCount]:
    """The counts of each row."""
    return [TokenCount(**row) for row in _rows(outputs, COUNT_OUTPUTS)]


def checked(
    model: str, signature: str, outputs: Mapping[str, T], read: Callable[[str, T], Any]
) -> Columns:
    """The outputs that a signature has by the contract, each of its type.

    Args:
      signature: of one that the contract does not have, every output is returned.
      outputs: as they came; what the contract does not have is not read.
      read: makes the column of a name and an output. It sees to the number of rows.

    Raises:
      BadAnswerError: one is missing, or is not of its type.
    """
    names = _OUTPUTS.get(signature, tuple(outputs))
    if missing := [name for name in names if name not in outputs]:
        raise BadAnswerError(
            f"The response of {model}'s signature {signature} lacks {', '.join(missing)}. "
            f"Received: {', '.join(sorted(outputs)) or 'nothing'}. Check that the served model "
            "is metered."
        )
    columns = {name: read(name, outputs[name]) for name in names}
    for name in names:
        expected = _TYPES.get(OUTPUT_DTYPES.get(name, ""))
        if expected and any(type(value) is not expected for value in columns[name]):
            received = sorted({type(value).__name__ for value in columns[name]})
            raise BadAnswerError(f"{name} must be {OUTPUT_DTYPES[name]}. Received: {received}.")
    return columns


def _rows(outputs: Columns, names: Sequence[str]) -> list[dict[str, Any]]:
    columns = [outputs[name] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
