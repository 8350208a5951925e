"""Checks of complete outputs: rows follow the contract, alone and in any batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from components.meter_validator.budget import (
    BELOW_ZERO,
    batch_sizes,
    limit_rows,
    mixed_limits,
    uniform_limits,
)
from components.meter_validator.check import AnswerError, Check
from components.meter_validator.count_checks import expected_counts, input_counts
from components.meter_validator.metered_subject import MeteredSubject, Row, batches
from components.meter_validator.texts import NamedText
from tokenizer import contract
from tokenizer.contract import ContractError, MeteredSummary, MeteringRecord


def answers_alone(
    subject: MeteredSubject,
    texts: Sequence[NamedText],
    totals: Mapping[str, int],
    record: MeteringRecord,
    check: Check,
) -> dict[str, Row]:
    """Summarise each text alone, and check the row against the contract.

    Args:
      subject: the model.
      texts: to be summarised.
      totals: the library's number of ids, by name of the text.
      record: the model's limits.
      check: takes the findings.

    Returns:
      the rows by the text's name, which the other checks compare with. Texts for which the
      model failed are left out.
    """
    rows: dict[str, Row] = {}
    for item in texts:
        with check.answered(item.name):
            (row,) = subject.answer([item.text])
            rows[item.name] = row
            expected = expected_counts(totals[item.name], record.max_input_tokens)
            check.equal(f"{item.name}: input counts", expected, input_counts(row))
            check_row(item.name, row, record.max_output_tokens, check)
    return rows


def check_row(name: str, row: Row, limit: int, check: Check) -> None:
    """Check that a row's outputs are consistent with each other.

    Args:
      name: of the case.
      row: a row of the model's output.
      limit: on decoder steps, the row's own or the model's.
      check: takes the findings.
    """
    try:
        summary = MeteredSummary.from_row(
            {key: _text(key, value) for key, value in row.items()}
        )
    except (ContractError, AnswerError) as error:
        check.that(name, False, "a row that holds to the contract", str(error))
        return
    # EOS is a step of its own: a row that stopped has written one id less than it might.
    if summary.finish_reason == contract.FINISH_STOP:
        plausible, expected = summary.output_tokens < limit, f"fewer than {limit} ids"
    else:
        plausible, expected = summary.output_tokens == limit, f"exactly {limit} ids"
    check.that(
        f"{name}: output_tokens where finish_reason is '{summary.finish_reason}'",
        plausible,
        expected,
        summary.output_tokens,
    )


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AnswerError(f"{name} is not valid UTF-8: {error}") from None


def check_batches(
    subject: MeteredSubject, texts: Sequence[NamedText], alone: dict[str, Row], check: Check
) -> None:
    """Compare each row's output in batches with its output alone."""
    known = [item for item in texts if item.name in alone]
    for size in batch_sizes(len(known)):
        # The last batch is filled up with the first texts: every batch has its full size.
        filled = [*known, *known[: -len(known) % size]]
        for batch in batches(filled, size):
            with check.answered(f"a batch of {len(batch)}: {', '.join(t.name for t in batch)}"):
                rows = subject.answer([item.text for item in batch])
                for item, row in zip(batch, rows, strict=True):
                    check.equal(f"{item.name}, in a batch of {size}", alone[item.name], row)
    with check.answered("an empty batch"):
        check.equal("an empty batch", [], subject.answer([]))


def check_limits(
    subject: MeteredSubject,
    texts: Sequence[NamedText],
    alone: dict[str, Row],
    record: MeteringRecord,
    check: Check,
) -> None:
    """Check outputs with callers' own limits, equal and mixed within a batch."""
    items = [item for item in texts if item.name in alone][: limit_rows(len(texts))]
    data = [item.text for item in items]
    most = record.max_output_tokens
    uniform: dict[tuple[int, str], Row] = {}
    for limit in uniform_limits(most):
        with check.answered(f"a limit of {limit}"):
            rows = subject.answer_within(data, [limit] * len(data))
            for item, row in zip(items, rows, strict=True):
                case = f"{item.name}, limit {limit}"
                uniform[limit, item.name] = row
                effective = min(limit, most) if limit else most
                check_row(case, row, effective, check)
                if effective == most:
                    check.equal(f"{case}: as without a limit", alone[item.name], row)
                else:
                    counts = input_counts(alone[item.name])
                    check.equal(f"{case}: input counts", counts, input_counts(row))
    mixed = mixed_limits(most, len(items))
    with check.answered(f"the limits {mixed} and {list(BELOW_ZERO)} in one batch"):
        below = list(BELOW_ZERO) if items else []
        rows = subject.answer_within([*data, *data[:1] * len(below)], [*mixed, *below])
        for item, limit, row in zip(items, mixed, rows[: len(mixed)], strict=True):
            case = f"{item.name}, limit {limit} among others"
            check.equal(case, uniform.get((limit, item.name)), row)
        for limit, row in zip(below, rows[len(mixed) :], strict=True):
            case = f"{items[0].name}, limit {limit} among others"
            check_row(case, row, 0, check)
            counts = input_counts(alone[items[0].name])
            check.equal(f"{case}: input counts", counts, input_counts(row))
    _check_refused(subject, data, check)


def _check_refused(subject: MeteredSubject, texts: Sequence[bytes], check: Check) -> None:
    try:
        received: object = subject.answer_within(texts, [1] * (len(texts) + 1))
    except tf.errors.InvalidArgumentError:
        received = None
    except (tf.errors.OpError, AnswerError) as error:
        received = error
    check.that(
        "more limits than texts", received is None, "refused with INVALID_ARGUMENT", received
    )
