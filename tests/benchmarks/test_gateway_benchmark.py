"""The gateway's benchmark: a whole small run, and what is made of its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.environment import machine
from benchmarks.gateway import stub_answers
from benchmarks.gateway.measuring import measure
from benchmarks.gateway.page import render
from benchmarks.gateway.results import (
    DIRECT,
    DIRECT_CHAT,
    LITELLM,
    POSTGRESQL,
    SQLITE,
    Measured,
    Point,
    Results,
)


def measured(scale: float, cpu: bool = True) -> Measured:
    return Measured(
        rates=(300 / scale, 600 / scale, 900 / scale),
        p50s_ms=(1 * scale, 2 * scale, 3 * scale),
        p99s_ms=(4 * scale, 5 * scale, 6 * scale),
        requests=100,
        client_ms=(0.025,) * 3,
        cpu_ms=(1 * scale, 2 * scale, 4 * scale) if cpu else (),
    )


def results() -> Results:
    ways = {
        DIRECT: measured(0.5, cpu=False),
        SQLITE: measured(1),
        POSTGRESQL: measured(4),
        DIRECT_CHAT: measured(0.5, cpu=False),
        LITELLM: measured(6),
    }
    points = {Point(1, 0): ways, Point(32, 5): ways}
    return Results(machine(), "releases", 0.01, points)


def test_both_apis_of_the_stub_count_the_same() -> None:
    text = " ".join(f"w{number}" for number in range(20))
    asked = {"messages": [{"role": "user", "content": text}]}
    chat = json.loads(stub_answers.chat(json.dumps(asked).encode()))
    inputs = {"inputs": {"text": [text, "a b"], "max_output_tokens": [0, 0]}}
    outputs = json.loads(stub_answers.predict(json.dumps(inputs).encode()))["outputs"]
    assert chat["choices"][0]["message"]["content"] == outputs["summary"][0]
    assert (chat["usage"]["prompt_tokens"], chat["usage"]["completion_tokens"]) == (20, 12)
    assert (outputs["input_tokens"], outputs["output_tokens"]) == ([20, 2], [12, 2])
    assert outputs["total_tokens"] == [32, 4]


@pytest.mark.long
def test_a_whole_run_without_the_peer(tmp_path: Path) -> None:
    """Real gateways on both databases; `measure` itself holds the ledgers to what was asked."""
    found = measure(
        [Point(2, 1)],
        rounds=1,
        seconds=0.2,
        directory=tmp_path / "run",
        logs=tmp_path / "logs",
        peers=None,
        versions="releases",
    )
    ways = found.points[Point(2, 1)]
    assert list(ways) == [DIRECT, SQLITE, POSTGRESQL, DIRECT_CHAT]
    for name, each in ways.items():
        assert each.requests > 0 and each.p50s_ms[0] >= 1.0  # the stub's delay
        assert bool(each.cpu_ms) == (name in (SQLITE, POSTGRESQL))
        assert bool(each.database_ms) == (name == POSTGRESQL)
    assert "LiteLLM's requests a second" not in render(found, command="make bench-gateway")


def test_results_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gateway.json"
    with pytest.raises(ValueError, match="Measure again: leave --render out"):
        Results.load(path)
    kept = results()
    kept.save(path)
    assert Results.load(path) == kept
    path.write_text(path.read_text().replace('"busy"', '"idle"'))
    with pytest.raises(ValueError, match=r"not as this release writes it: KeyError\('busy'\)"):
        Results.load(path)


def test_the_page_says_what_is_reached_and_what_is_not() -> None:
    page = render(results(), command="make bench-gateway")
    # By round: (1, 2, 3) ms against (0.5, 1, 1.5) ms.
    assert (
        f"| 1 | 0 | {SQLITE} | 2.00 (1.00-3.00) | 5.00 (4.00-6.00) | 1.00 (0.50-1.50)" in page
    )
    assert f"1 client, 0 ms, {SQLITE}: 1.00 ms added at the median; under 3 ms: reached" in page
    assert f"{POSTGRESQL}: 7.00 ms added at the median; under 3 ms: **not reached**" in page
    assert f"32 clients, 5 ms, {SQLITE}: 6.0 times LiteLLM's requests a second" in page
    assert "(1.5 times by core); both at least 5 times: **not reached**" in page
    assert "| 2.00 (1.00-4.00) |  | 500 | 6.0, 6.0 |" in page
    # The rate alone is not enough.
    slow = replace(measured(1), cpu_ms=(6.0, 12.0, 24.0))
    ways = results().points[Point(32, 5)] | {SQLITE: slow}
    page = render(replace(results(), points={Point(32, 5): ways}), command="make")
    assert "6.0 times LiteLLM's requests a second (1.0 times by core); both" in page
    assert "reached" in page and ": reached" not in page
    assert "runs without a database" in page and "**The backend is a stub**" in page
