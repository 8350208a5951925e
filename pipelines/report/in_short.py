"""The report's first answers, for a reader who is no engineer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.config_sections import CHAMPION
from pipelines.evaluation.verdict import METRIC_NAMES, MetricSlice, Verdict
from pipelines.report.model import MeterValidation, Missing, Promotion, RunReport
from pipelines.report.texts import number


@dataclass(frozen=True, slots=True)
class Answer:
    """A question that a reader has, and what the run found."""

    question: str
    answer: str


def in_short(report: RunReport) -> tuple[Answer, ...]:
    """What a reader wants to know first, in sentences.

    A question that the run has nothing on is answered by why; where it has nothing on any, one
    answer says so.
    """
    trained = Answer("What was trained?", _trained(report))
    if isinstance(report.training, Missing) and isinstance(report.evaluation, Missing):
        return (trained,)
    return (
        trained,
        Answer("Is it better than doing nothing?", _better_than_nothing(report)),
        Answer("Is it better than what was there before?", _better_than_before(report)),
        Answer("Can its counts be trusted?", _counts(report)),
        Answer("What does a summary cost?", _cost(report)),
    )


def _trained(report: RunReport) -> str:
    if isinstance(report.training, Missing):
        return report.training.reason
    said = "A model that writes short summaries of texts"
    if not isinstance(report.corpus, Missing) and (learnt := report.corpus.used.get("train")):
        said += f". It learnt from {learnt:,} texts with the summaries that their authors wrote"
    start = report.settings.get("model", {}).get("init_from")
    if start:
        start = "the model served before" if start == CHAMPION else f"the checkpoint {start}"
        said += f", and began with what {start} knew"
    said += f". Training took {report.training.points[-1].step:,} steps."
    if overall := _overall(report):
        said += (
            f" It was then tried on {overall.examples:,} texts that it had not learnt from; "
            "what is said here of its quality is about those."
        )
    return said


def _better_than_nothing(report: RunReport) -> str:
    overall = _overall(report)
    if overall is None:
        return _not_evaluated(report)
    found = overall.candidate
    lead, margin = found["lift_rouge_l_f1"], found["lift_rouge_l_f1_margin_95"]
    said = (
        "Doing nothing means taking the first sentence of the text. How far a summary agrees "
        "with its author's is measured by ROUGE-L, from 0 (no word in common) to 1 (the same "
        f"words in the same order): the model reaches {number(found['rouge_l_f1'])}, the first "
        f"sentence {number(found['baseline_rouge_l_f1'])}. "
    )
    if math.isnan(margin):
        return said + "There are too few texts to say more."
    if abs(lead) <= margin:
        return said + (
            f"The difference of {number(abs(lead))} is within what chance explains "
            f"(± {number(margin)}): it has not been shown to be better."
        )
    if lead > 0:
        return said + (
            f"Yes, by {number(lead)}, which is more than chance explains (± {number(margin)})."
        )
    return said + f"No: it is worse by {number(-lead)}."


def _better_than_before(report: RunReport) -> str:
    promotion = report.promotion
    if isinstance(promotion, Promotion) and promotion.comparison:
        compared = promotion.comparison
        if compared.candidate is None or compared.champion is None:
            return "Not known: the two could not be measured on the same texts."
        name = METRIC_NAMES.get(compared.metric, compared.metric)
        before, after = compared.champion, compared.candidate
        said = (
            f"The best model so far, version {promotion.champion_before} of the registry, "
            f"reaches {number(before)} ({name}) on the same texts, this one {number(after)}. "
        )
    elif isinstance(promotion, Promotion) and promotion.blessed:
        return "There was no other model before it." + _served(report)
    elif (overall := _overall(report)) and overall.champion:
        before, after = overall.champion["rouge_l_f1"], overall.candidate["rouge_l_f1"]
        said = (
            f"The last model that passed all checks reaches {number(before)} (ROUGE-L F1) on "
            f"the same texts, this one {number(after)}. "
        )
    elif _overall(report):
        return "There was no model before it to compare it with." + _served(report)
    else:
        return _not_evaluated(report)
    if after > before:
        said += f"Yes, by {number(after - before)}."
    elif after < before:
        said += f"No: it is worse by {number(before - after)}."
    else:
        said += "They are equally good."
    return said + _served(report)


def _served(report: RunReport) -> str:
    outcome = report.outcome
    if outcome.state == "pushed":
        return f" It is served from now on, as version {outcome.version}."
    return " It is not served; the reasons are above."


def _counts(report: RunReport) -> str:
    meter = report.meter_validation
    if not isinstance(meter, MeterValidation):
        return meter.reason
    cases = sum(check.cases for check in meter.checks)
    wrong = sum(check.mismatches for check in meter.checks)
    said = (
        "A bill counts tokens, which are pieces of words, and the model counts them itself. "
        f"{cases:,} of its counts and answers were held to what the tokenizer's own library "
        "gives: "
    )
    if meter.blessed:
        return said + "all were as they must be."
    return said + f"{wrong:,} were not as they must be, so nobody may be billed by it."


def _cost(report: RunReport) -> str:
    evaluation = report.evaluation
    if isinstance(evaluation, Missing) or not evaluation.material:
        return _not_evaluated(report)
    material = evaluation.material
    texts = material.input_tokens.total()
    tokens_in = sum(tokens * times for tokens, times in material.input_tokens.items())
    tokens_out = sum(tokens * times for tokens, times in material.output_tokens.items())
    said = (
        f"For the {texts:,} texts that it was tried on, it read "
        f"{number(tokens_in / texts, 1)} tokens a text and wrote "
        f"{number(tokens_out / texts, 1)}. "
    )
    quote = report.quote
    if quote is None:
        return said + "With a price book (tallygraph run --prices) its cost is said here."
    (all_micro,) = quote.costs_micro([(tokens_in, tokens_out)])
    thousand_micro = (1000 * all_micro + texts // 2) // texts
    return said + (
        f"By the price {quote.price.id} of the plan {quote.price.plan}, 1,000 such summaries "
        f"cost {quote.money(thousand_micro)}, before any free allowance or cheaper tier."
    )


def _overall(report: RunReport) -> MetricSlice | None:
    return report.evaluation.overall if isinstance(report.evaluation, Verdict) else None


def _not_evaluated(report: RunReport) -> str:
    if isinstance(report.evaluation, Missing):
        return f"Not known: {report.evaluation.reason}"
    return "Not known: no text was held out to try it on."
