"""Each schedule's values, against its formula written out."""

from __future__ import annotations

import math

import pytest

from pipelines.training.schedules import (
    SCHEDULES,
    WarmupCosineDecay,
    WarmupInverseSquareRoot,
    WarmupLinearDecay,
    WarmupSchedule,
)
from pipelines.training.settings import TrainingSettings


def test_the_rate_rises_and_falls_in_lines() -> None:
    schedule = WarmupLinearDecay(peak=2.0, warmup_steps=4, steps=24)
    rates = [float(schedule(step)) for step in (0, 1, 3, 4, 14, 24, 30)]
    assert rates == pytest.approx([0.5, 1.0, 2.0, 2.0, 1.05, 0.1, 0.1])


def test_half_a_cosine_falls_to_a_twentieth() -> None:
    schedule = WarmupCosineDecay(peak=2.0, warmup_steps=4, steps=24)
    rates = [float(schedule(step)) for step in (0, 1, 3, 4, 9, 14, 24, 30)]
    quarter = 2.0 * (0.05 + 0.95 * (1 + math.cos(math.pi / 4)) / 2)
    assert rates == pytest.approx([0.5, 1.0, 2.0, 2.0, quarter, 1.05, 0.1, 0.1])


def test_a_constant_rate_stays_at_its_peak() -> None:
    schedule = WarmupSchedule(peak=2.0, warmup_steps=4, steps=24)
    rates = [float(schedule(step)) for step in (0, 1, 3, 4, 23, 100)]
    assert rates == pytest.approx([0.5, 1.0, 2.0, 2.0, 2.0, 2.0])


def test_the_inverse_square_root_is_that_of_the_transformer() -> None:
    """The paper's min(n ** -0.5, n * warmup ** -1.5), scaled so that its peak is ours."""
    schedule = WarmupInverseSquareRoot(peak=2.0, warmup_steps=4, steps=24)
    for step in range(60):
        n = step + 1
        paper = min(n**-0.5, n * 4**-1.5)
        assert float(schedule(step)) == pytest.approx(2.0 * paper / 4**-0.5), step
    assert float(schedule(15)) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_warm_up_the_first_step_has_the_peak_rate(name: str) -> None:
    assert float(SCHEDULES[name](2.0, 0, 10)(0)) == pytest.approx(2.0)


def test_the_default_is_the_line() -> None:
    settings = TrainingSettings()
    assert SCHEDULES[settings.schedule] is WarmupLinearDecay


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_can_be_built_again_from_its_config(name: str) -> None:
    schedule = SCHEDULES[name](2.0, 4, 24)
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(step)) for step in (0, 9, 20)] == [
        float(schedule(step)) for step in (0, 9, 20)
    ]
