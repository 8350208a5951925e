"""What a page makes of texts and numbers that are not kind."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.corpus_example_gen.report import CorpusCounts
from components.promoter.rules import Comparison
from pipelines.evaluation.material import Material
from pipelines.evaluation.scores import Answer, Score
from pipelines.evaluation.statistics import METRICS, Statistics
from pipelines.evaluation.verdict import LENGTH, OVERALL, SOURCE, Check, MetricSlice, Verdict
from pipelines.exporting.quantising import QuantisingCost
from pipelines.report.charts import loss_chart, slices_chart, token_chart
from pipelines.report.lineage import Lineage, LineageItem
from pipelines.report.lineage_drawing import draw
from pipelines.report.model import (
    MeterCheck,
    MeterValidation,
    Missing,
    NodeTime,
    Outcome,
    Promotion,
    RunReport,
    ServingValidation,
    Training,
    TrainingPoint,
)
from pipelines.report.rendering import render
from pipelines.report.texts import duration, number, percent, visible
from tests.support.sizes import sized

NASTY = '<script>alert("x")</script> & $x_1$ \x00\u202eabc\n\ud800'
SCORE = Score((0.5, 0.25, 0.5), (0.3, 0.1, 0.2), 0.0, 0.0, False, False, False, 1, 2)


def metric_slice(feature: str, value: str, champion: bool) -> MetricSlice:
    statistics = Statistics()
    statistics.add(Answer("1", "s", "d", "r", "s", 10, 4, 0, "stop"), SCORE)
    metrics = {name: compute(statistics) for name, compute in METRICS.items()}
    return MetricSlice(feature, value, 1, metrics, metrics if champion else {})


def nasty_report(champion: bool = True) -> RunReport:
    material = Material()
    material.add(Answer(NASTY, NASTY, NASTY, NASTY, NASTY, 10, 4, 3, "length"))
    slices = (
        metric_slice(SOURCE, NASTY, champion),
        metric_slice(LENGTH, "0–9 words", champion),
    )
    check = Check("rouge_l_f1", "evaluation.min_rouge_l", "at_least", 0.6, 0.5, False)
    overall = metric_slice(OVERALL, "", champion)
    item = LineageItem("artifact-1", NASTY, NASTY, NASTY, NASTY, 0, {NASTY: NASTY}, ())
    return RunReport(
        pipeline_name=NASTY,
        run_id=NASTY,
        started=datetime(2026, 1, 2, tzinfo=UTC),
        outcome=Outcome("not_pushed", "", "", (NASTY,)),
        corpus=CorpusCounts(2, {NASTY: 1}, 1, {NASTY: 1}),
        training=Training((TrainingPoint(1, 2.0, 1.0, float("nan")),)),
        evaluation=Verdict(False, (check,), overall, slices, material),
        metering=Missing(NASTY),
        meter_validation=MeterValidation(
            False,
            (MeterCheck(NASTY, NASTY, False, 5, 1, (NASTY,), NASTY),),
            ((NASTY, NASTY),),
        ),
        serving_validation=ServingValidation(
            False, NASTY, NASTY, None, 1, 2, (NASTY,), 1, NASTY
        ),
        promotion=Promotion(
            "refused", NASTY, (NASTY,), NASTY, 2, 1, Comparison(NASTY, 0.5, None, 0.0)
        ),
        lineage=Lineage((item,)),
        nodes=(NodeTime(NASTY, 1, "complete", 0.0, None),),
        settings={NASTY: {NASTY: NASTY}},
        quantising=Missing(NASTY),
    )


@pytest.mark.parametrize("champion", [True, False])
def test_every_text_is_escaped(champion: bool) -> None:
    page = render(nasty_report(champion))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x00" not in page and "\u202e" not in page and "\ud800" not in page
    assert "␀" in page
    for chart in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(chart)


def test_a_page_of_nothing_says_so_in_every_part() -> None:
    gone = Missing("it was never made")
    page = render(
        RunReport(
            pipeline_name="p",
            run_id="r",
            started=None,
            outcome=Outcome("incomplete", "", "", ("The run has not come to its Pusher.",)),
            corpus=gone,
            training=gone,
            evaluation=gone,
            metering=gone,
            meter_validation=gone,
            serving_validation=gone,
            promotion=gone,
            lineage=gone,
            nodes=(),
            settings={},
        )
    )
    assert page.count("it was never made") == 10
    assert "No node of this run was recorded." in page


def test_what_is_copied_is_marked_and_escaped_all_the_same() -> None:
    report = nasty_report()
    answer = Answer(
        "1", "s", "Say <b> is bold & done.", "r", "Say <b> is bold!", 1, 1, 0, "stop"
    )
    report.evaluation.material.samples[:] = [(0, answer)]
    page = render(report)
    assert "<mark>Say &lt;b&gt; is bold</mark>!</dd>" in page
    report.evaluation.material.samples[:] = [(0, replace(answer, summary=""))]
    assert "(empty)</dd>" in render(report)


def test_a_folder_of_any_name_can_be_given_to_a_shell() -> None:
    report = replace(
        nasty_report(), training=Training((TrainingPoint(1, 2, 1, 1),), 0, "/a b/$(x) <y>")
    )
    assert "tallygraph tensorboard --log-dir &#39;/a b/$(x) &lt;y&gt;&#39;</code>" in render(
        report
    )


def test_what_int8_costs_is_said_beside_the_quality_of_the_model() -> None:
    cost = QuantisingCost(512, 480, 0.1670, 0.1657, 0.0012, 4_000, 1_000)
    page = render(replace(nasty_report(), quantising=cost))
    found = " ".join(page.split())
    assert "0.1670 in float32, 0.1657 in int8, a change of −0.0013" in found
    assert "480 summaries are the same" in found
    assert "25.0 % of the size" in found
    assert "int8" not in render(replace(nasty_report(), quantising=None))


def test_an_evaluation_without_examples_is_said_to_be_one() -> None:
    report = nasty_report()
    empty = Verdict(False, (), None, (), None)
    page = render(
        RunReport(
            **{
                name: getattr(report, name)
                for name in RunReport.__dataclass_fields__
                if name != "evaluation"
            },
            evaluation=empty,
        )
    )
    assert page.count("o example was evaluated") == 3


@settings(max_examples=sized(10, 100))
@given(
    st.dictionaries(st.integers(0, 5000), st.integers(1, 10**6), min_size=1, max_size=20),
    st.none() | st.integers(1, 5000),
)
def test_any_token_counts_make_a_well_formed_chart(
    counts: dict[int, int], limit: int | None
) -> None:
    ElementTree.fromstring(token_chart("any", Counter(counts), limit, "tokens"))


def test_labels_are_shown_as_they_are() -> None:
    chart = slices_chart([metric_slice(SOURCE, "$x^2$ <&>", champion=True)])
    texts = [node.text for node in ElementTree.fromstring(chart).iter() if node.text]
    assert "$x^2$ <&>  (1)" in texts
    assert "champion" in texts


def test_charts_are_the_same_for_the_same_values() -> None:
    training = Training((TrainingPoint(1, 2.0, 1.0, 9.0), TrainingPoint(2, 1.0, 0.9, 9.0)))
    assert loss_chart(training) == loss_chart(training)
    assert training.best.step == 2


def test_a_wide_layer_fits_into_the_drawing() -> None:
    top = LineageItem("m", "Model", "Model", "", "x", 0, {}, tuple("abcdef"))
    below = [
        LineageItem(key, "Examples", "Examples", "/long" * 40, "y", 0, {}, ())
        for key in "abcdef"
    ]
    drawing = draw(Lineage((top, *below)))
    assert len(drawing.paths) == 6
    for box in drawing.boxes:
        assert box.x >= 0 and box.x + box.width <= drawing.width + 1e-6
        assert box.y + box.height <= drawing.height


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(0.12345), "0.123"),
        (number(-0.5, 2, signed=True), "−0.50"),
        (number(0.5, 2, signed=True), "+0.50"),
        (number(float("nan")), "–"),
        (percent(0.0421), "4.2 %"),
        (duration(0.042), "0.04 s"),
        (duration(59.0), "59.0 s"),
        (duration(185), "3:05 min"),
        (duration(7384), "2:03 h"),
        (visible("a\x00b\x7f\tc"), "a␀b␡\tc"),
    ],
)
def test_numbers_and_texts_as_a_reader_sees_them(shown: str, expected: str) -> None:
    assert shown == expected
