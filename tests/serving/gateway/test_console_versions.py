"""How versions compare on the console: counted by every gateway, kept over days."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.console.versions import DAYS, compare_versions, first_of_days
from serving.gateway.ops.observed import VersionTally
from serving.ledger.daily_versions import (
    VersionCounts,
    VersionKey,
    add_version_counts,
    read_version_counts,
)
from tests.serving.gateway.admin_client import TOKENS
from tests.serving.gateway.console_client import Markup, console_client
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.running_gateway import gateway_on
from tests.support.waiting import wait_until
from tokenizer.contract import FinishReason, MeteredSummary

NOW = datetime.datetime(2026, 11, 10, 23, 59)
TODAY, BEFORE = "2026-11-10", "2026-11-09"


def summary(output_tokens: int, finish_reason: FinishReason = "stop") -> MeteredSummary:
    return MeteredSummary("a", 3, output_tokens, 3 + output_tokens, 0, finish_reason)


def test_gateways_add_to_the_same_counts(engine: sa.Engine) -> None:
    tallies = [VersionTally(engine, lambda: NOW) for _ in range(2)]
    for tally in tallies:
        tally.answered("summarizer", 2, 30, [summary(4), summary(8, "length")])
        tally.answered("summarizer", 2, 50, [summary(6)])
        tally.failed("summarizer", 2, 10, "no_answer")
        tally.failed("summarizer", 1, 7, "x" * 100)
        tally.write()
        tally.write()
    assert read_version_counts(engine, TODAY) == {
        VersionKey(TODAY, "summarizer", "1", "x" * 64): VersionCounts(2, 14),
        VersionKey(TODAY, "summarizer", "2", ""): VersionCounts(4, 160, 6, 36, 4),
        VersionKey(TODAY, "summarizer", "2", "no_answer"): VersionCounts(2, 20),
    }
    assert read_version_counts(engine, "2026-11-11") == {}


def test_what_cannot_be_written_is_kept_for_next_time(engine: sa.Engine) -> None:
    tally = VersionTally(engine, lambda: NOW)
    tally.failed("summarizer", 1, 5, "no_answer")
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE daily_versions RENAME TO elsewhere"))
    with pytest.raises(sa.exc.SQLAlchemyError):
        tally.write()
    tally.failed("summarizer", 1, 6, "no_answer")
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO daily_versions"))
    tally.write()
    (counts,) = read_version_counts(engine, TODAY).values()
    assert counts == VersionCounts(2, 11)


_COUNTS = st.builds(
    VersionCounts, *[st.integers(0, 10**12)] * 2, st.integers(0, 50), *[st.integers(0, 50)] * 2
)
_KEYS = st.builds(
    VersionKey,
    st.sampled_from([TODAY, BEFORE]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["", "no_answer", "bad_answer"]),
)


@given(st.dictionaries(_KEYS, _COUNTS))
def test_days_and_errors_add_up(counts: dict[VersionKey, VersionCounts]) -> None:
    compared = compare_versions(["a"], counts)
    assert "a" in compared
    for model, of_model in compared.items():
        for version, figures in of_model.versions.items():
            of_version = {
                key: each for key, each in counts.items() if key[1:3] == (model, version)
            }
            assert figures.requests == sum(each.requests for each in of_version.values())
            assert figures.failed == sum(figures.errors.values())
            assert figures.failed == sum(
                each.requests for key, each in of_version.items() if key.error
            )
            days = [of[version] for of in of_model.days.values() if version in of]
            assert sum(each.requests for each in days) == figures.requests
            assert sum(each.failed for each in days) == figures.failed
        assert list(of_model.days) == sorted(of_model.days, reverse=True)


def test_the_first_of_the_days() -> None:
    assert (DAYS, first_of_days(NOW)) == (7, "2026-11-04")


def test_answers_and_errors_of_a_version_are_on_the_page(
    engine: sa.Engine,
    tmp_path: Path,
    gate: GatedProxy,
    metered_models: Path,
) -> None:
    """Real answers of a model server, and failures of its version; yesterday's are another
    gateway's."""
    yesterday = VersionKey(BEFORE, "summarizer", "6", "no_answer")
    older = VersionKey("2026-11-03", "summarizer", "5", "no_answer")
    add_version_counts(engine, dict.fromkeys((yesterday, older), VersionCounts(3, 9)))
    with (
        gateway_on(
            engine, tmp_path, metered_models, [gate.url], lambda: NOW, admin_tokens=TOKENS
        ) as gateway,
        gateway.client(gateway.key()) as client,
        console_client(gateway.admin_url) as console,
    ):
        for text in ("one two three", "four five"):
            body = {"model": "summarizer", "text": text}
            assert client.post("/v1/summaries", json=body).status_code == 200
        written = sum(each.output_tokens for each in gateway.entries())
        console.sign_in()
        text = " ".join(Markup(console.get("/models")).text.split())
        assert "7 2 0 " in text and f" ms {written / 2:.1f} " in text, text
        assert "6 3 3 (100.00 %) no_answer 3" in text
        assert f"{TODAY} 7 2 0 " in text and f"{BEFORE} 6 3 3 (100.00 %)" in text
        assert "2026-11-03" not in text
        gate.open_broken()
        assert client.post("/v1/summaries", json={"model": "summarizer", "text": "x"}).is_error
        # Where the ledger is slow, a page shows first what was read before.
        wait_until(
            lambda: "7 3 1 (33.33 %)" in " ".join(Markup(console.get("/models")).text.split()),
            "the failure",
        )
