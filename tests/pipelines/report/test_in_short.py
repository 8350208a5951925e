"""What the report says first, to a reader who is no engineer."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components.corpus_example_gen.report import CorpusCounts
from components.promoter.rules import Comparison
from pipelines.evaluation.verdict import Verdict
from pipelines.price_quote import PriceQuote
from pipelines.report.gathering import gather
from pipelines.report.in_short import in_short
from pipelines.report.model import MeterValidation, Missing, Outcome, Promotion, RunReport
from serving.billing import Price

QUOTE = PriceQuote(
    Price("autumn", datetime.date(2026, 1, 1), "summarizer", "standard", 400, 100, 1600),
    "EUR",
)


@pytest.fixture(scope="module")
def report(recorded_run: Callable[..., tuple[Path, str]]) -> RunReport:
    """A model that beats the first sentence and the champion, and was pushed."""
    found = gather(*recorded_run("first_words"))
    return replace(found, corpus=CorpusCounts(15_739, {"train": 15_619, "eval": 120}, 0, {}))


def said(report: RunReport) -> dict[str, str]:
    return {each.question: each.answer for each in in_short(report)}


def with_metrics(report: RunReport, **metrics: float) -> RunReport:
    assert isinstance(report.evaluation, Verdict) and report.evaluation.overall
    overall = report.evaluation.overall
    overall = replace(overall, candidate={**overall.candidate, **metrics})
    return replace(report, evaluation=replace(report.evaluation, overall=overall))


def test_what_was_trained(report: RunReport) -> None:
    answer = said(report)["What was trained?"]
    assert answer == (
        "A model that writes short summaries of texts. It learnt from 15,619 texts with the "
        "summaries that their authors wrote. Training took 4,000 steps. It was then tried on "
        "120 texts that it had not learnt from; what is said here of its quality is about "
        "those."
    )
    begun = replace(report, settings={"model": {"init_from": "checkpoints/t5"}})
    answer = said(begun)["What was trained?"]
    assert "wrote, and began with what the checkpoint checkpoints/t5 knew." in answer
    begun = replace(report, settings={"model": {"init_from": "champion"}})
    assert "what the model served before knew" in said(begun)["What was trained?"]


@pytest.mark.parametrize(
    ("lead", "margin", "expected"),
    [
        (0.03, 0.01, "Yes, by 0.030, which is more than chance explains (± 0.010)."),
        (-0.03, 0.01, "No: it is worse by 0.030."),
        (0.03, 0.05, "is within what chance explains (± 0.050): it has not been shown"),
        (0.03, float("nan"), "There are too few texts to say more."),
    ],
)
def test_whether_it_is_better_than_nothing(
    report: RunReport, lead: float, margin: float, expected: str
) -> None:
    found = with_metrics(report, lift_rouge_l_f1=lead, lift_rouge_l_f1_margin_95=margin)
    answer = said(found)["Is it better than doing nothing?"]
    assert "the model reaches 1.000, the first sentence 0.5" in answer
    assert expected in answer


BEFORE = "Is it better than what was there before?"


@pytest.mark.parametrize(
    ("candidate", "champion", "expected"),
    [
        (
            0.9,
            0.8,
            "reaches 0.800 (ROUGE-L F1) on the same texts, this one 0.900. Yes, by 0.100.",
        ),
        (0.8, 0.9, "No: it is worse by 0.100."),
        (0.8, 0.8, "They are equally good."),
        (0.8, None, "Not known: the two could not be measured"),
    ],
)
def test_whether_it_is_better_than_the_champion(
    report: RunReport, candidate: float, champion: float | None, expected: str
) -> None:
    assert isinstance(report.promotion, Promotion)
    comparison = Comparison("rouge_l_f1", candidate, champion, 0.0)
    found = replace(report, promotion=replace(report.promotion, comparison=comparison))
    assert expected in said(found)[BEFORE]


def test_whether_it_is_served(report: RunReport) -> None:
    assert said(report)[BEFORE].startswith("The best model so far, version 3 of the registry, ")
    assert said(report)[BEFORE].endswith("It is served from now on, as version 17.")
    refused = replace(report, outcome=Outcome("not_pushed", "", "", ("it is worse",)))
    assert said(refused)[BEFORE].endswith("It is not served; the reasons are above.")


def test_a_first_model_has_nothing_before_it(report: RunReport) -> None:
    assert isinstance(report.promotion, Promotion)
    first = replace(report.promotion, comparison=None, champion_before=None)
    expected = "There was no other model before it. It is served from now on, as version 17."
    assert said(replace(report, promotion=first))[BEFORE] == expected
    unknown = replace(report, promotion=Missing("Promoter did not run."))
    assert said(unknown)[BEFORE].startswith("There was no model before it to compare it with.")


def test_a_model_that_was_not_blessed_is_held_to_the_last_that_was(report: RunReport) -> None:
    assert isinstance(report.evaluation, Verdict) and report.evaluation.overall
    overall = replace(report.evaluation.overall, champion={"rouge_l_f1": 0.75})
    found = replace(
        report,
        promotion=Missing("Promoter did not run."),
        evaluation=replace(report.evaluation, overall=overall),
    )
    assert said(found)[BEFORE].startswith(
        "The last model that passed all checks reaches 0.750 (ROUGE-L F1) on the same texts, "
        "this one 1.000. Yes, by 0.250."
    )


def test_whether_the_counts_can_be_trusted(report: RunReport) -> None:
    answer = said(report)["Can its counts be trusted?"]
    assert "1,101 of its counts and answers were held to" in answer
    assert answer.endswith("all were as they must be.")
    assert isinstance(report.meter_validation, MeterValidation)
    wrong = replace(report.meter_validation, blessed=False)
    answer = said(replace(report, meter_validation=wrong))["Can its counts be trusted?"]
    assert answer.endswith("nobody may be billed by it.")


def test_what_a_summary_costs(report: RunReport) -> None:
    assert isinstance(report.evaluation, Verdict) and report.evaluation.material
    material = report.evaluation.material
    tokens_in = sum(material.input_tokens.elements())
    tokens_out = sum(material.output_tokens.elements())
    # 0.4 and 1.6 millionths a token; the mean of 120 summaries, for 1,000 of them.
    all_micro = (tokens_in * 400 + 500) // 1000 + (tokens_out * 1600 + 500) // 1000
    thousand = (1000 * all_micro + 60) // 120

    answer = said(replace(report, quote=QUOTE))["What does a summary cost?"]

    assert answer.endswith(
        "By the price autumn of the plan standard, 1,000 such summaries cost "
        f"0.{thousand:06d} EUR, before any free allowance or cheaper tier."
    )
    assert f"wrote {tokens_out / 120:.1f}." in answer
    assert "--prices" in said(report)["What does a summary cost?"]


def test_a_run_that_came_to_nothing_says_so_once(interrupted_run: tuple[Path, str]) -> None:
    (answer,) = in_short(gather(*interrupted_run))
    assert answer.answer.startswith("No model was trained")


def test_a_run_that_was_not_evaluated_says_so(report: RunReport) -> None:
    answers = said(replace(report, evaluation=Missing("It was not."), promotion=Missing("No.")))
    assert answers[BEFORE] == "Not known: It was not."
    assert answers["Is it better than doing nothing?"] == "Not known: It was not."
    assert answers["What does a summary cost?"] == "Not known: It was not."
    empty = replace(report, evaluation=Verdict(False, (), None, (), None))
    assert said(empty)["What does a summary cost?"] == (
        "Not known: no text was held out to try it on."
    )
