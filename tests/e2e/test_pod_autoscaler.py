"""The emulated autoscaler against what Kubernetes and KEDA document, on the chart's values."""

from __future__ import annotations

import pytest

from tests.e2e.pod_autoscaler import Autoscaler, Scaling, Trigger
from tests.serving.deploy.rendered import the


def scaled(replicas: int = 0) -> Autoscaler:
    """From 0 to 6 pods, 16 requests each; a period of 15 s, windows of 300 and 900 s."""
    return Autoscaler(Scaling.of(the("scale to zero", "ScaledObject")), replicas)


def decided(scaler: Autoscaler, *under_way: float, every_s: float = 15.0) -> list[int]:
    """What is decided, one period after the other, for so many requests under way."""
    start = 1000.0 * len(scaler._changes)
    return [
        scaler.decide(start + every_s * number, (value, 0.0, float(value > 0)))
        for number, value in enumerate(under_way)
    ]


@pytest.mark.parametrize(
    ("current", "value", "pods"),
    # The documentation's: twice the target doubles, half of it halves; a tenth is tolerated.
    [
        (2, 200, 4),
        (2, 50, 1),
        (2, 100, 2),
        (10, 549, 10),
        (10, 551, 12),
        (10, 449, 9),
        (4, 0, 0),
    ],
)
def test_the_formula(current: int, value: float, pods: int) -> None:
    assert Trigger("m", "", 50.0).pods(current, value) == pods


def test_the_first_pod_comes_with_the_first_request_and_others_by_the_metric() -> None:
    # One, whatever the metric; then as many as may be added in a period: two, or as many again.
    assert decided(scaled(), 0, 0, 90, 90, 90, 200) == [0, 0, 1, 3, 6, 6]


def test_pods_go_after_the_window_and_not_all_at_once() -> None:
    # For 300 s the most that was asked for counts; then half of them go in a minute.
    went = decided(scaled(6), 90, *[1] * 30)
    assert went[:21] == [6] * 21
    assert went[21:] == [3, 3, 3, 3, 1, 1, 1, 1, 1, 1]


def test_the_last_pod_goes_after_the_cooldown_alone() -> None:
    went = decided(scaled(1), 1, *[0] * 70)
    assert went == [1] * 61 + [0] * 10
    # Somebody who asks within it begins it anew.
    assert decided(scaled(1), 1, *[0] * 60, 1, *[0] * 60)[-1] == 1
