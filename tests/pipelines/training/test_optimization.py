"""The schedule's literal values and the optimizer the settings name."""

from __future__ import annotations

import keras
import pytest

from pipelines.training.optimization import WarmupLinearDecay, build_optimizer
from pipelines.training.settings import TrainingSettings, TrainingSettingsError


def test_the_rate_rises_and_falls_in_lines() -> None:
    schedule = WarmupLinearDecay(peak=2.0, warmup_steps=4, steps=24)
    rates = [float(schedule(step)) for step in (0, 1, 3, 4, 14, 24, 30)]
    assert rates == pytest.approx([0.5, 1.0, 2.0, 2.0, 1.05, 0.1, 0.1])


def test_without_warm_up_the_first_step_has_the_peak_rate() -> None:
    assert float(WarmupLinearDecay(2.0, 0, 10)(0)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adafactor", keras.optimizers.Adafactor), ("adamw", keras.optimizers.AdamW)],
)
def test_the_optimizer_is_the_one_named(
    name: str, kind: type[keras.optimizers.Optimizer]
) -> None:
    settings = TrainingSettings.from_config({"steps": 10, "warmup_steps": 2, "optimizer": name})
    assert type(build_optimizer(settings)) is kind


def test_settings_say_everything_that_is_wrong_at_once() -> None:
    with pytest.raises(TrainingSettingsError) as caught:
        TrainingSettings.from_config({"steps": 0, "optimizer": "sgd", "colour": "red"})
    for name in ("steps", "optimizer", "colour"):
        assert name in str(caught.value)
