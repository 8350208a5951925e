"""TFX's Evaluator on real SavedModels: who is blessed, who is not, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluation.verdict import LENGTH, SOURCE, EvaluationOutputError, read_verdict


def test_blesses_a_model_that_is_right(evaluate: Callable[..., tuple[Path, Path]]) -> None:
    verdict = read_verdict(*evaluate("first_words"))

    assert verdict.blessed
    assert verdict.reasons == ()
    assert verdict.overall.examples == 120
    metrics = verdict.overall.candidate
    assert metrics["rouge_1_f1"] == metrics["rouge_2_f1"] == metrics["rouge_l_f1"] == 1.0
    # The first sentence has 20 words, 8 of them right: F1 = 2 * 0.4 * 1 / 1.4.
    assert metrics["baseline_rouge_l_f1"] == pytest.approx(0.5714, abs=0.01)
    assert metrics["lift_rouge_l_f1"] == pytest.approx(
        metrics["rouge_l_f1"] - metrics["baseline_rouge_l_f1"]
    )
    assert metrics["mean_output_tokens"] == 8.0
    assert metrics["share_length"] == 1.0
    assert metrics["share_distinct"] == 1.0
    assert metrics["share_repeated"] < 0.01
    assert 0 < metrics["share_truncated"] < 1
    assert verdict.overall.champion == {}


def test_slices_by_source_and_length(evaluate: Callable[..., tuple[Path, Path]]) -> None:
    verdict = read_verdict(*evaluate("first_words"))

    sources = [(s.value, s.examples) for s in verdict.slices if s.feature == SOURCE]
    assert sources == [("alpha", 60), ("beta", 45), ("other sources", 15)]
    lengths = {s.value: s for s in verdict.slices if s.feature == LENGTH}
    assert list(lengths) == ["0–32 words", "33–64 words", "65–128 words"]
    assert sum(s.examples for s in lengths.values()) == 120
    assert lengths["0–32 words"].candidate["share_truncated"] == 0.0
    assert lengths["65–128 words"].candidate["share_truncated"] == 1.0


def test_gives_the_report_counts_and_samples(
    evaluate: Callable[..., tuple[Path, Path]],
) -> None:
    material = read_verdict(*evaluate("first_words")).material

    assert dict(material.output_tokens) == {8: 120}
    assert sum(material.input_tokens.values()) == 120
    assert max(material.input_tokens) == 40
    assert len(material.answers) == 12
    for answer in material.answers:
        assert answer.summary == answer.reference
        assert answer.document.startswith(answer.summary)


@pytest.mark.long
def test_refuses_a_model_that_answers_every_text_alike(
    evaluate: Callable[..., tuple[Path, Path]],
) -> None:
    verdict = read_verdict(*evaluate("collapsed"))

    assert not verdict.blessed
    failed = {check.setting for check in verdict.checks if not check.passed}
    assert failed == {
        "evaluation.min_rouge_l",
        "evaluation.min_lift_over_baseline_rouge_l",
        "evaluation.min_share_distinct",
    }
    assert (
        "The number of different summaries per example is 0.0083; at least 0.5 is required "
        "(evaluation.min_share_distinct)." in verdict.reasons
    )


@pytest.mark.long
def test_refuses_a_model_that_repeats_itself(
    evaluate: Callable[..., tuple[Path, Path]],
) -> None:
    verdict = read_verdict(*evaluate("repeating"))

    assert not verdict.blessed
    # Eight words a b a b a b a b: of 7 pairs 2 are different.
    assert verdict.overall.candidate["share_repeated"] >= 5 / 7
    assert any("evaluation.max_share_repeated" in reason for reason in verdict.reasons)


def test_refuses_a_model_that_is_worse_than_the_champion(
    evaluate: Callable[..., tuple[Path, Path]],
) -> None:
    verdict = read_verdict(*evaluate("first_words", "fewer_words"))

    assert not verdict.blessed
    (reason,) = verdict.reasons
    assert "below the latest blessed model's" in reason
    assert "evaluation.max_rouge_l_drop_vs_champion" in reason
    assert verdict.overall.champion["rouge_l_f1"] == 1.0
    # Six of the eight words of the reference: F1 = 2 * 1 * 0.75 / 1.75.
    assert verdict.overall.candidate["rouge_l_f1"] == pytest.approx(0.857, abs=0.01)


def test_says_that_an_evaluation_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EvaluationOutputError, match="Expected: the outputs of a finished"):
        read_verdict(tmp_path, tmp_path)
