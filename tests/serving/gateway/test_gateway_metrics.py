"""The page that Prometheus scrapes, held to its names and values, and the dashboard to it."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.engines import RunningServer
from serving.engines.base import HeldPorts
from serving.gateway.running import CacheSettings
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.running_gateway import RunningGateway, serving_gateway

DASHBOARD = Path("serving/deploy/grafana/tallygraph-gateway.json")

# Every family there is, with its labels.
FAMILIES = {
    "http_server_request_duration_seconds": {
        "http_request_method",
        "http_route",
        "http_response_status_code",
        "error_type",
    },
    "gen_ai_server_request_duration_seconds": {
        "gen_ai_operation_name",
        "gen_ai_request_model",
        "error_type",
    },
    "gen_ai_client_operation_duration_seconds": {
        "gen_ai_operation_name",
        "gen_ai_request_model",
        "error_type",
    },
    "gen_ai_client_token_usage": {
        "gen_ai_token_type",
        "gen_ai_request_model",
        "gen_ai_response_model",
    },
    "tallygraph_tokens": {"tenant", "model", "model_version", "type"},
    "tallygraph_charged_micro": {"tenant", "model", "currency"},
    "tallygraph_replays": {"tenant"},
    "tallygraph_errors": {"code"},
    "tallygraph_limited": {"tenant", "limit"},
    "tallygraph_cache_rows": {"outcome"},
    "tallygraph_cache_errors": {"operation"},
    "tallygraph_ledger_duration_seconds": {"operation"},
    "tallygraph_price_book_info": {"fingerprint"},
    "tallygraph_price_book_refused": set(),
    "tallygraph_events_delivered": set(),
    "tallygraph_event_deliveries_failed": set(),
    "tallygraph_requests_under_way": set(),
    "tallygraph_model_requests_under_way": {"model"},
    "tallygraph_model_requests_waiting": {"model"},
    "tallygraph_model_wait_duration_seconds": {"model", "outcome"},
    "tallygraph_build_info": {"version", "python"},
    "tallygraph_model_server_up": {"model", "server"},
    "tallygraph_model_server_requests_under_way": {"model", "server"},
    "tallygraph_limit": {"place"},
    "tallygraph_budget_remaining_micro": {"tenant"},
    "tallygraph_ledger_up": set(),
    "tallygraph_ledger_reservations_open": set(),
    "tallygraph_ledger_reservations_stale": set(),
    "tallygraph_ledger_reservation_oldest_seconds": set(),
    "tallygraph_outbox_events_waiting": set(),
    "tallygraph_outbox_event_oldest_seconds": set(),
}


LIMITED = "tallygraph_limited_total"


def samples(page: str) -> dict[tuple[str, frozenset[Any]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(page: str, name: str, **labels: str) -> float | None:
    # Only its lines: to parse a page takes a tenth of a second.
    page = "".join(line for line in page.splitlines(keepends=True) if line.startswith(name))
    return samples(page).get((name, frozenset(labels.items())))


def ask(client: httpx.Client, text: str = "one two three", key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"model": "summarizer", "text": text}
    return client.post("/v1/summaries", json=body, headers=headers)


def test_every_family_by_its_name_and_labels(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        ask(client)
    found = {
        family.name: family for family in text_string_to_metric_families(gateway.metrics())
    }
    process = {name for name in found if name.startswith("process_")}
    assert process >= {"process_cpu_seconds", "process_resident_memory_bytes"}
    assert set(found) - process == set(FAMILIES)
    # What Prometheus adds to a target would hide a label of the same name.
    added = {"job", "instance", "namespace", "pod", "service"}
    assert not added & set().union(*FAMILIES.values())
    for name, labels in FAMILIES.items():
        for sample in found[name].samples:
            assert set(sample.labels) - {"le"} == labels, name


def test_what_was_asked_and_charged(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> None:
    cache = CacheSettings("memory")
    with serving_gateway(tmp_path, model_server.rest_url, metered_models, cache) as gateway:
        with gateway.client(gateway.key()) as client:
            ask(client)
            ask(client, key="k")
            ask(client, key="k")
            client.post("/v1/summaries", json={"model": "nope", "text": "a"})
            client.post("/v1/summaries", content=b"{")
            client.get("/v1/what/is/this")
            chat = {"model": "summarizer", "messages": [{"role": "user", "content": "a b"}]}
            client.post("/v1/chat/completions", json=chat)
        page = gateway.metrics()
    by_tenant = {"tenant": "acme", "model": "summarizer", "model_version": "7"}
    for kind, tokens in (("input", 5), ("input_cached", 3), ("output", 8)):
        assert value(page, "tallygraph_tokens_total", **by_tenant, type=kind) == tokens
    # 3 + 30 at first; 0.3 + 30, rounded, of the cache; 2 + 20 of the chat.
    money = {"tenant": "acme", "model": "summarizer", "currency": "EUR"}
    assert value(page, "tallygraph_charged_micro_total", **money) == 33 + 30 + 22
    assert value(page, "tallygraph_replays_total", tenant="acme") == 1
    usage = {"gen_ai_request_model": "summarizer", "gen_ai_response_model": "summarizer-7"}
    for kind, tokens in (("input", 8), ("output", 8)):
        for what, expected in (("sum", tokens), ("count", 3)):
            name = f"gen_ai_client_token_usage_{what}"
            assert value(page, name, gen_ai_token_type=kind, **usage) == expected
    for path, method, status, error, count in (
        ("/v1/summaries", "POST", "200", "", 3),
        ("/v1/summaries", "POST", "404", "model_not_found", 1),
        ("/v1/summaries", "POST", "400", "invalid_request_error", 1),
        ("/v1/chat/completions", "POST", "200", "", 1),
        ("other", "GET", "404", "http_404", 1),
    ):
        labels = {
            "http_route": path,
            "http_request_method": method,
            "http_response_status_code": status,
            "error_type": error,
        }
        name = "http_server_request_duration_seconds_count"
        assert value(page, name, **labels) == count, labels
        if error:
            assert value(page, "tallygraph_errors_total", code=error) == count
    for operation, count in (("summarize", 3), ("chat", 1)):
        labels = {
            "gen_ai_operation_name": operation,
            "gen_ai_request_model": "summarizer",
            "error_type": "",
        }
        name = "gen_ai_server_request_duration_seconds_count"
        assert value(page, name, **labels) == count, operation
    # One of the four came from the cache, one from the ledger.
    asked = {
        "gen_ai_operation_name": "summarize",
        "gen_ai_request_model": "summarizer",
        "error_type": "",
    }
    assert value(page, "gen_ai_client_operation_duration_seconds_count", **asked) == 2
    for operation, times in (("reserve", 4), ("settle", 3), ("release", 0)):
        name = "tallygraph_ledger_duration_seconds_count"
        assert value(page, name, operation=operation) == times
    assert value(page, "tallygraph_requests_under_way") == 0
    assert value(page, "tallygraph_model_requests_under_way", model="summarizer") == 0


def test_what_is_known_is_counted_from_zero(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> None:
    """Else the first charge of a tenant, or error of a kind, would be no increase."""
    with serving_gateway(tmp_path, model_server.rest_url, metered_models) as gateway:
        key = gateway.key("acme", budget_micro=1000)
        gateway.key("unlimited")
        gateway.metrics()  # in which it finds out who there is
        before = gateway.metrics()
        with gateway.client(key) as client:
            assert ask(client).status_code == 200
        after = gateway.metrics()
    model = {"model": "summarizer"}
    of = {"tenant": "acme", **model}
    counted = [
        ("tallygraph_tokens_total", {**of, "model_version": "7", "type": "output"}, 3),
        ("tallygraph_charged_micro_total", {**of, "currency": "EUR"}, 33),
        (
            "gen_ai_client_token_usage_count",
            {
                "gen_ai_token_type": "input",
                "gen_ai_request_model": "summarizer",
                "gen_ai_response_model": "summarizer-7",
            },
            1,
        ),
        (
            "http_server_request_duration_seconds_count",
            {
                "http_request_method": "POST",
                "http_route": "/v1/summaries",
                "http_response_status_code": "200",
                "error_type": "",
            },
            1,
        ),
        ("tallygraph_errors_total", {"code": "no_answer"}, 0),
        ("tallygraph_errors_total", {"code": "invalid_request_error"}, 0),
        ("tallygraph_limited_total", {"tenant": "acme", "limit": "budget"}, 0),
        ("tallygraph_cache_errors_total", {"operation": "read"}, 0),
        ("tallygraph_limited_total", {"tenant": "", "limit": "shed"}, 0),
        ("tallygraph_replays_total", {"tenant": "acme"}, 0),
    ]
    for name, labels, increase in counted:
        assert value(before, name, **labels) == 0, name
        assert value(after, name, **labels) == increase, name
    assert value(before, "tallygraph_budget_remaining_micro", tenant="acme") == 1000
    assert value(before, "tallygraph_budget_remaining_micro", tenant="unlimited") is None
    server = {**model, "server": model_server.rest_url}
    assert value(before, "tallygraph_model_server_up", **server) == 1
    assert value(before, "tallygraph_model_server_requests_under_way", **server) == 0
    for place, limit in (("requests", 32), ("requests_of_a_tenant", 24), ("waiting", 512)):
        assert value(before, "tallygraph_limit", place=place) == limit
    assert "_created" not in before
    assert re.search(r'tallygraph_build_info{python="3\.\d+\.\d+",version="[^"]+"} 1.0', before)


@pytest.mark.parametrize(
    ("label", "expected"), [(None, ["11"]), ("stable", ["11", "9", "7", "6", "5"])]
)
def test_a_gateway_that_starts_before_its_model_servers_counts_from_zero(
    tmp_path: Path,
    metered_models: Path,
    nobody: HeldPorts,
    label: str | None,
    expected: list[str],
) -> None:
    """The first answer after the wake-up is an increase: its version is one of the folder."""
    models = tmp_path / "summarizer"
    models.mkdir()
    for number in (3, 4, 5, 6, 7, 9, 11):
        (models / str(number)).symlink_to(metered_models / "7")
    (models / "12").mkdir()  # not written whole
    url = f"http://127.0.0.1:{nobody.numbers[0]}"
    with serving_gateway(tmp_path, url, models, label=label) as gateway:
        gateway.key("acme")
        page = gateway.metrics()
    of = {"tenant": "acme", "model": "summarizer"}
    counted = [
        labels["model_version"]
        for name, of_sample in samples(page)
        if name == "tallygraph_tokens_total" and (labels := dict(of_sample))["type"] == "output"
    ]
    assert counted == expected
    for version in expected:
        for kind in ("input", "input_cached", "output"):
            labels = {**of, "model_version": version, "type": kind}
            assert value(page, "tallygraph_tokens_total", **labels) == 0
    assert value(page, "tallygraph_charged_micro_total", **of, currency="EUR") == 0


@pytest.mark.usefixtures("rate_time")
def test_which_limit_was_hit(gated_gateway: RunningGateway, gate: GatedProxy) -> None:
    gateway = gated_gateway  # for 32 requests at a time, of one tenant 24
    for tenant, limit in (
        ("poor", {"budget_micro": 10}),
        ("hasty", {"requests_per_minute": 1}),
        ("chatty", {"tokens_per_minute": 1}),
    ):
        with gateway.client(gateway.key(tenant, **limit)) as client:
            ask(client), ask(client)
    gate.reset()
    gate.shut()
    with (
        gateway.client(gateway.key("busy", max_concurrent=1)) as busy,
        gateway.client(gateway.key("many")) as many,
        gateway.client(gateway.key("more")) as more,
        ThreadPoolExecutor(32) as pool,
    ):
        held = [pool.submit(ask, busy)]
        gate.wait_for_questions(1)
        assert [ask(busy).status_code for _ in range(3)] == [429] * 3
        held += [pool.submit(ask, many) for _ in range(24)]
        gate.wait_for_questions(25)
        assert [ask(many).status_code for _ in range(2)] == [503] * 2
        held += [pool.submit(ask, more) for _ in range(7)]
        gate.wait_for_questions(32)
        at_the_door = value(gateway.metrics(), LIMITED, tenant="", limit="shed") or 0
        assert ask(more).status_code == 503
        gate.open()
        assert {each.result().status_code for each in held} == {200}
    page = gateway.metrics()
    for tenant, hit, count in (
        ("poor", "budget", 2),
        ("hasty", "requests_per_minute", 1),
        ("chatty", "tokens_per_minute", 1),
        ("busy", "concurrency", 3),
        ("many", "shed", 2),
        ("more", "shed", None),
    ):
        name = gateway.name(tenant)
        assert value(page, LIMITED, tenant=name, limit=hit) == count, hit
    # Where all places are taken, nobody knows who it is.
    assert value(page, LIMITED, tenant="", limit="shed") == at_the_door + 1


def test_a_client_cannot_make_labels(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        client.request("SECRETMETHOD", "/v1/secret-path?secret=query")
        client.post("/v1/summaries", json={"model": "secret-model", "text": "secret-text"})
        client.post("/v1/count_tokens", json={"model": "secret-model", "text": "secret-text"})
    assert "secret" not in gateway.metrics().lower()


def test_the_dashboard_asks_for_what_there_is(gateway: RunningGateway) -> None:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    there = {
        family.name + ending
        for family in text_string_to_metric_families(gateway.metrics())
        for ending in endings[family.type]
    }
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]
    labels: set[str] = set()
    asked: set[str] = set()
    for expression in expressions:
        groups = re.findall(r"by \(([a-z_, ]+)\)", expression)
        labels |= {label for group in groups for label in group.split(", ")}
        without_labels = re.sub(r"by \([a-z_, ]+\)|\{[^}]*\}", "", expression)
        asked |= set(re.findall(r"\b(?:http|gen_ai|tallygraph)_[a-z_]+", without_labels))
    assert (len(asked) >= 15, asked - there) == (True, set())
    assert labels - {"le", "pod"} <= set().union(*FAMILIES.values())
