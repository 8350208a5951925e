"""The optimizer that the settings describe, and its clipping."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.training.optimization import build_optimizer
from pipelines.training.schedules import SCHEDULES
from pipelines.training.settings import TrainingSettings, TrainingSettingsError


def settings_of(**training: object) -> TrainingSettings:
    return TrainingSettings.from_config({"steps": 10, "warmup_steps": 2, **training})


@pytest.mark.parametrize(
    ("name", "kind", "clip_norm"),
    [
        ("adafactor", keras.optimizers.Adafactor, None),
        ("adamw", keras.optimizers.AdamW, 1.0),
    ],
)
def test_the_optimizer_is_the_one_named(
    name: str, kind: type[keras.optimizers.Optimizer], clip_norm: float | None
) -> None:
    optimizer = build_optimizer(settings_of(optimizer=name))
    assert type(optimizer) is kind
    assert optimizer.global_clipnorm == clip_norm


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_is_the_one_named(schedule: str) -> None:
    optimizer = build_optimizer(settings_of(schedule=schedule, learning_rate=0.5))
    optimizer.build([keras.Variable([0.0])])
    assert float(optimizer.learning_rate) == pytest.approx(0.25)
    assert type(optimizer._learning_rate) is SCHEDULES[schedule]


@pytest.mark.parametrize("name", ["adafactor", "adamw"])
@pytest.mark.parametrize("norm", [0.0, 0.5, 3.0])
def test_a_gradient_is_clipped_by_the_norm_of_all_of_it(name: str, norm: float) -> None:
    """A clipped step is the step of the gradient scaled down to the norm beforehand."""
    gradients = [np.array([[3.0, 0.0], [0.0, 0.0]], "float32"), np.array([4.0], "float32")]
    scale = min(1.0, norm / 5.0) if norm else 1.0

    def after_two_steps(clip_norm: float, factor: float) -> list[np.ndarray]:
        optimizer = build_optimizer(settings_of(optimizer=name, gradient_clip_norm=clip_norm))
        variables = [keras.Variable(np.ones_like(each)) for each in gradients]
        optimizer.build(variables)
        optimizer.apply([keras.ops.convert_to_tensor(factor * g) for g in gradients])
        # Within any of the norms: what is left of the first one is in the optimizer's state.
        optimizer.apply([keras.ops.convert_to_tensor(0.05 * g) for g in gradients])
        return [variable.numpy() for variable in variables]

    for clipped, expected in zip(
        after_two_steps(norm, 1.0), after_two_steps(0.0, scale), strict=True
    ):
        np.testing.assert_allclose(clipped, expected, rtol=1e-6)


def test_a_negative_norm_is_refused() -> None:
    with pytest.raises(TrainingSettingsError, match=r"gradient_clip_norm\s+Input should be gr"):
        settings_of(gradient_clip_norm=-1.0)


def test_settings_say_everything_that_is_wrong_at_once() -> None:
    with pytest.raises(TrainingSettingsError) as caught:
        TrainingSettings.from_config({"steps": 0, "optimizer": "sgd", "colour": "red"})
    for name in ("steps", "optimizer", "colour"):
        assert name in str(caught.value)
