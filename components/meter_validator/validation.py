"""All checks of a metered model, in the order of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.meter_validator.answer_checks import (
    answers_alone,
    check_batches,
    check_limits,
)
from components.meter_validator.budget import batch_sizes, limit_rows, within_budget
from components.meter_validator.check import Check
from components.meter_validator.count_checks import check_counts, found_around_limit
from components.meter_validator.metered_subject import MeteredSubject
from components.meter_validator.reference import ReferenceCounts
from components.meter_validator.static_checks import (
    UnreadableModelError,
    check_graph,
    check_record,
    check_signatures,
    read_meta_graph,
)
from components.meter_validator.texts import NamedText, fixed_hard_texts
from tokenizer.contract import BaseModelSpec, MeteringRecord
from tokenizer.hard_texts import generated_hard_texts
from tokenizer.loading import TokenizerDescriptor


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is tested with.

    Attributes:
      tokenizer: description of the tokenizer that the model must count with.
      reference: that tokenizer's own library.
      documents: held-out documents.
      generated_strings: number of generated strings that are counted; 0 skips the check.
      seed: of their generator.
      decoded_ids: budget of decoded ids, times beams: answers are checked of as many documents
        and hard texts as it allows, counts of all.
      xla: whether the server that the model is for compiles XLA.
    """

    tokenizer: TokenizerDescriptor
    reference: ReferenceCounts
    documents: Sequence[NamedText]
    generated_strings: int
    seed: int
    decoded_ids: int
    xla: bool = False


class _Checks:
    """The report's checks, each empty until it is run."""

    def __init__(self) -> None:
        self.record = Check("record", "metering.json describes this model and its tokenizer")
        self.signatures = Check("signatures", "names, dtypes and shapes follow the contract")
        self.graph = Check("graph", "a stock model server supports every op")
        self.documents = Check("documents", "input counts equal the library's: held-out texts")
        self.hard = Check("hard texts", "input counts equal the library's: hard texts, limits")
        self.generated = Check(
            "generated strings", "input counts equal the library's: generated strings"
        )
        self.answers = Check("answers", "every row of an output follows the contract")
        self.batches = Check("batches", "a row is the same alone and in batches")
        self.limits = Check("limits", "max_output_tokens applies to each row independently")

    def say_what_is_decoded(self, texts: int, of: int) -> None:
        """Add to the checks of answers how many texts they are of."""
        share = f"all {of} texts" if texts == of else f"{texts} of {of} texts"
        sizes = ", ".join(map(str, batch_sizes(texts)))
        self.answers.proves += f": {share}"
        self.batches.proves += f" of {sizes}: {share}"
        self.limits.proves += f": {limit_rows(texts)} of {of} texts"

    def finished(self, material: Material, reason: str) -> list[Check]:
        """The checks that were asked for; those without a case are marked as not run."""
        checks: list[Check] = list(vars(self).values())
        if not material.generated_strings:
            checks.remove(self.generated)
        for check in checks:
            if not check.cases:
                check.not_run = reason
        return checks


def validate(directory: Path, material: Material) -> list[Check]:
    """Run every check that can be run on a metered SavedModel.

    Returns:
      the checks. The model is right if all of them passed.

    Raises:
      UnreadableModelError: there is no model, or it cannot be loaded for a reason that the
        checks have not found.
    """
    checks = _Checks()
    meta_graph = read_meta_graph(directory)
    record = check_record(directory, material.tokenizer, checks.record)
    check_signatures(meta_graph, checks.signatures)
    check_graph(meta_graph, checks.graph, material.xla)
    if record is None:
        return checks.finished(material, "the model does not state its limits")
    if not checks.signatures.passed:
        return checks.finished(material, "the signatures are not those of the contract")
    try:
        subject = MeteredSubject(directory)
    except Exception as error:  # of many types; what was found in the graph may explain it
        if checks.graph.passed:
            raise UnreadableModelError(f"{directory} cannot be loaded: {error}") from error
        return checks.finished(material, "the model cannot be loaded: see 'graph'")
    _run(subject, record, BaseModelSpec.load(directory).num_beams, material, checks)
    return checks.finished(material, "there was nothing to check")


def _run(
    subject: MeteredSubject,
    record: MeteringRecord,
    num_beams: int,
    material: Material,
    checks: _Checks,
) -> None:
    limit = record.max_input_tokens
    words = [word for item in material.documents for word in item.text.decode("utf-8").split()]
    documents = list(material.documents)
    hard = fixed_hard_texts()
    hard += found_around_limit(words, material.reference, limit, checks.hard)
    generated = [
        NamedText(f"string {number} of seed {material.seed}", text)
        for number, text in enumerate(
            generated_hard_texts(material.generated_strings, material.seed, words)
        )
    ]
    totals = _totals(material.reference, [*documents, *hard, *generated])
    check_counts(subject, documents, totals, limit, checks.documents)
    check_counts(subject, hard, totals, limit, checks.hard)
    check_counts(subject, generated, totals, limit, checks.generated)

    texts = within_budget(
        documents,
        hard,
        budget=material.decoded_ids,
        most=record.max_output_tokens,
        num_beams=num_beams,
    )
    checks.say_what_is_decoded(len(texts), len(documents) + len(hard))
    alone = answers_alone(subject, texts, totals, record, checks.answers)
    check_batches(subject, texts, alone, checks.batches)
    check_limits(subject, texts, alone, record, checks.limits)


def _totals(reference: ReferenceCounts, texts: Sequence[NamedText]) -> dict[str, int]:
    """The library's number of ids, by name of the text."""
    counts = reference([item.text for item in texts])
    return {item.name: count for item, count in zip(texts, counts, strict=True)}
