"""A running gateway delivers events, follows its price book, and refuses who has no credit."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from serving.engines import RunningServer
from serving.ledger import Ledger
from serving.ledger.entries import Selection, select_entries
from serving.ledger.verification import verify
from tests.support.command_gateway import command_gateway
from tests.support.running_gateway import MOST_MICRO, PRICES
from tests.support.waiting import wait_until


def test_events_prices_and_credit_of_a_running_gateway(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> None:
    events = tmp_path / "events.jsonl"
    options = ("--events-to", str(events), "--lease-s", "1")
    with command_gateway(
        tmp_path, metered_models, [model_server.rest_url], *options
    ) as running:
        key = running.key()
        ledger = Ledger(running.engine, "test")
        ledger.top_up("acme", MOST_MICRO, "EUR", "payment 17", "pat")
        with running.client(key) as http:

            def ask() -> httpx.Response:
                return http.post(
                    "/v1/summaries", json={"model": "summarizer", "text": "word word"}
                )

            first, second = ask(), ask()
            assert (first.status_code, second.status_code) == (200, 429)
            used = http.get("/v1/usage").json()
            assert used["remaining_micro"] == MOST_MICRO - used["amount_micro"]
            error = second.json()["error"]
            assert (error["type"], error["code"]) == ("insufficient_quota",) * 2
            assert "prepaid credit" in error["message"]
            assert second.headers["x-ratelimit-remaining-budget-micro"] != str(MOST_MICRO)

            def kinds() -> list[str]:
                lines = events.read_text().splitlines() if events.exists() else []
                return [json.loads(line)["id"].rpartition("/")[2] for line in lines]

            wait_until(lambda: kinds() == ["top_up", "charge"], "both events")

            def page() -> str:
                return httpx.get(f"{running.process.admin_url}/metrics", trust_env=False).text

            assert "tallygraph_events_delivered_total 2.0" in page()

            def book() -> list[str]:
                return [each for each in page().splitlines() if "price_book_info{" in each]

            before = book()
            prices = tmp_path / "prices.toml"
            prices.write_text(PRICES.replace("= 1000\n", "= 2000\n"))
            running.wait_for_log("must stay as it was")
            assert "tallygraph_price_book_refused_total 1.0" in page()
            assert before == [
                line for line in page().splitlines() if "price_book_info{" in line
            ]
            more = PRICES[PRICES.index("[[prices]]") :]
            more = more.replace('"2026"', '"2026-new"').replace("2020-01-01", "2020-01-02")
            prices.write_text(PRICES + more.replace("= 1000\n", "= 2000\n"))
            running.wait_for_log("is in use, no longer")
            assert before != [
                line for line in page().splitlines() if "price_book_info{" in line
            ]
            ledger.top_up("acme", 100 * MOST_MICRO, "EUR", "payment 18", "pat")
            assert ask().status_code == 200
        entries = select_entries(running.engine, Selection("acme"))
        assert [entry.price_id for entry in entries] == ["2026-new", "", "2026", ""]
        assert verify(running.engine) == (4, [])
