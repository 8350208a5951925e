import math
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.material import MAX_SAMPLES, Material
from pipelines.evaluation.scores import Answer, Score
from pipelines.evaluation.statistics import METRICS, Statistics

ANSWER = Answer("1", "numpy", "Document.", "Reference", "Summary", 10, 4, 0, "stop")
SCORE = Score((0.5, 0.25, 0.5), (0.3, 0.1, 0.2), 0.0, 0.0, False, False, False, 1, 2)

shares = st.floats(0, 1)
counts = st.integers(0, 300)
answers = st.builds(
    Answer,
    id=st.text("ab", max_size=2),
    source=st.just("s"),
    document=st.text("xy", max_size=3),
    reference=st.text(max_size=3),
    summary=st.text(max_size=3),
    input_tokens=counts,
    output_tokens=counts,
    truncated_tokens=counts,
    finish_reason=st.sampled_from(["stop", "length"]),
)
scores = st.builds(
    Score,
    rouge=st.tuples(shares, shares, shares),
    baseline=st.tuples(shares, shares, shares),
    repeated=shares,
    reference_repeated=shares,
    truncated=st.booleans(),
    ended_by_length=st.booleans(),
    empty=st.booleans(),
    summary_hash=st.integers(0, 5),
    reference_hash=st.integers(0, 5),
)
scored = st.lists(st.tuples(answers, scores), max_size=30)


def gathered(pairs: list[tuple[Answer, Score]]) -> Statistics:
    statistics = Statistics()
    for answer, score in pairs:
        statistics.add(answer, score)
    return statistics


def test_metrics_of_two_examples() -> None:
    other = Score((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 0.5, 0.1, True, True, True, 1, 3)
    statistics = gathered(
        [(ANSWER, SCORE), (replace(ANSWER, input_tokens=30, output_tokens=8), other)]
    )

    metrics = {name: compute(statistics) for name, compute in METRICS.items()}

    # Margins: the lifts are 0.3 and 1.0, their deviation 0.495, over the root of 2.
    assert metrics == pytest.approx(
        {
            "examples": 2,
            "rouge_1_f1": 0.75,
            "rouge_2_f1": 0.625,
            "rouge_l_f1": 0.75,
            "rouge_l_f1_margin_95": 0.49,
            "baseline_rouge_1_f1": 0.15,
            "baseline_rouge_2_f1": 0.05,
            "baseline_rouge_l_f1": 0.1,
            "lift_rouge_1_f1": 0.6,
            "lift_rouge_2_f1": 0.575,
            "lift_rouge_l_f1": 0.65,
            "lift_rouge_l_f1_margin_95": 0.686,
            "mean_input_tokens": 20,
            "mean_output_tokens": 6,
            "share_truncated": 0.5,
            "share_length": 0.5,
            "share_empty": 0.5,
            "share_distinct": 0.5,
            "share_repeated": 0.25,
            "reference_share_distinct": 1.0,
            "reference_share_repeated": 0.05,
        }
    )


def test_metrics_of_no_example_are_not_numbers() -> None:
    metrics = {name: compute(Statistics()) for name, compute in METRICS.items()}
    assert metrics.pop("examples") == 0
    assert all(math.isnan(value) for value in metrics.values())


@given(scored, scored)
def test_statistics_merge_into_those_of_the_union(
    left: list[tuple[Answer, Score]], right: list[tuple[Answer, Score]]
) -> None:
    merged = Statistics()
    merged.merge([gathered(left), gathered(right)])
    whole = gathered(left + right)
    for name, compute in METRICS.items():
        assert compute(merged) == pytest.approx(compute(whole), nan_ok=True, abs=1e-6), name


def collected(some_answers: list[Answer]) -> Material:
    material = Material()
    for answer in some_answers:
        material.add(answer)
    return material


@given(st.lists(answers, max_size=30), st.lists(answers, max_size=30))
def test_material_merges_into_that_of_the_union(
    left: list[Answer], right: list[Answer]
) -> None:
    merged = Material()
    merged.merge([collected(left), collected(right)])
    whole = collected(left + right)
    assert merged.input_tokens == whole.input_tokens
    assert merged.output_tokens == whole.output_tokens
    assert merged.answers == whole.answers
    assert len(whole.answers) == min(MAX_SAMPLES, len(left + right))


@given(st.lists(answers, max_size=20))
def test_material_comes_back_from_json(some_answers: list[Answer]) -> None:
    material = collected(some_answers)
    back = Material.from_json(material.to_json())
    assert back.answers == material.answers
    assert back.input_tokens == material.input_tokens


def test_the_sample_is_the_same_whatever_the_model_answered() -> None:
    rows = [replace(ANSWER, id=str(number)) for number in range(100)]
    one = collected(rows)
    other = collected([replace(row, summary="other", output_tokens=9) for row in rows[::-1]])
    assert [a.id for a in one.answers] == [a.id for a in other.answers]
    assert len({a.id for a in one.answers}) == MAX_SAMPLES


def test_merging_leaves_what_is_merged_as_it_was() -> None:
    left, right = collected([ANSWER]), collected([replace(ANSWER, id="2")])
    before = deepcopy(right)
    left.merge([right])
    assert right == before


def test_long_documents_are_shortened_in_the_sample_only() -> None:
    material = collected([replace(ANSWER, document="x" * 5000)])
    (answer,) = Material.from_json(material.to_json()).answers
    assert answer.document == "x" * 4000 + " […]"
    assert answer.input_tokens == 10
