"""Which tenants are on the canary: always the same ones, and with a larger share only more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.backends import BackendError, Canary

NAMES = st.text(min_size=1, max_size=40)
PERCENTS = st.integers(0, 100)


@given(NAMES, NAMES, PERCENTS, PERCENTS)
def test_a_larger_share_only_adds_tenants(model: str, tenant: str, one: int, two: int) -> None:
    smaller, larger = sorted((one, two))
    if Canary("canary", smaller).takes(model, tenant):
        assert Canary("canary", larger).takes(model, tenant)


@given(NAMES, NAMES)
def test_none_and_all(model: str, tenant: str) -> None:
    assert not Canary("canary", 0).takes(model, tenant)
    assert Canary("canary", 100).takes(model, tenant)


def test_a_share_is_about_as_large_as_it_says() -> None:
    tenants = [f"tenant-{number}" for number in range(10_000)]
    for percent in (1, 10, 50, 90):
        on_it = sum(Canary("canary", percent).takes("summarizer", name) for name in tenants)
        assert abs(on_it - percent * 100) < 200


def test_a_tenants_place_is_the_same_in_every_release() -> None:
    """Literal: the smallest share, in per cent, that takes a tenant."""

    def smallest(model: str, tenant: str) -> int:
        return next(p for p in range(101) if Canary("c", p).takes(model, tenant))

    places = {name: smallest("summarizer", name) for name in ("acme", "other", "é")}
    assert places == {"acme": 93, "other": 65, "é": 19}
    # Another model's tenants are others: no tenant is always the one that things are tried on.
    assert smallest("other-model", "other") == 59


@pytest.mark.parametrize(("label", "percent"), [("", 10), ("canary", -1), ("canary", 101)])
def test_shares_that_are_none(label: str, percent: int) -> None:
    with pytest.raises(BackendError, match="A canary share"):
        Canary(label, percent)
