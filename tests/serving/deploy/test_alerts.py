"""Each alert, by Prometheus's own tool: what it fires for, and what it does not fire for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving.deploy.prometheus_tools import run
from tests.serving.deploy.rendered import the

pytestmark = pytest.mark.long

HTTP = 'http_server_request_duration_seconds_count{http_route="/v1/summaries",%s}'
OK = HTTP % 'http_response_status_code="200",error_type=""'
FAILED = HTTP % 'http_response_status_code="503",error_type="overloaded"'
LEDGER = 'tallygraph_ledger_duration_seconds_bucket{operation="settle",le="%s"}'
ANSWERED = 'gen_ai_server_request_duration_seconds_count{error_type=""}'
CHARGED = 'gen_ai_client_token_usage_count{gen_ai_token_type="input"}'
MODEL = 'gen_ai_client_operation_duration_seconds_count{error_type="%s"}'
QUEUE = ':tensorflow:serving:batching_session:queuing_latency_bucket{le="%s"}'
LOADS = ':tensorflow:cc:saved_model:load_attempt_count{model_path="/models/7",status="%s"}'
UNDER_WAY = 'tallygraph_requests_under_way{pod="a"}'
WAITING = 'tallygraph_model_requests_waiting{pod="a",model="summarizer"}'
PLACES = 'tallygraph_limit{pod="a",place="requests"}'
NO_SERVER = 'tallygraph_errors_total{code="overloaded"}'
SERVER_UP = 'up{job="model-server"}'

Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series a minute apart, from the first to the moment that is looked at.

    Attributes:
      fires, quiet: values by series, in promtool's notation: ``0+10x60``.
      minutes: until when.
    """

    fires: Sequence[Series]
    quiet: Sequence[Series]
    minutes: int = 30


CASES: dict[str, Case] = {
    "TallygraphErrorBudgetBurnsFast": Case(
        [{OK: "0+90x120", FAILED: "0+10x120"}],
        # Few; many an hour ago; none at all, and nobody asked.
        [
            {OK: "0+1000x120", FAILED: "0+1x120"},
            {OK: "0+100x120", FAILED: "0+10x70 700x50"},
            {OK: "0x120"},
        ],
        120,
    ),
    "TallygraphErrorBudgetBurnsSlowly": Case(
        [{OK: "0+990x420", FAILED: "0+10x420"}], [{OK: "0+10000x420", FAILED: "0+1x420"}], 420
    ),
    "TallygraphGatewayDown": Case(
        [{'up{job="gateway"}': "0x30"}, {SERVER_UP: "1x30"}],
        [{'up{job="gateway",pod="a"}': "1x30", 'up{job="gateway",pod="b"}': "0x30"}],
    ),
    "TallygraphGatewaySaturated": Case(
        [
            {UNDER_WAY: "250x30", WAITING: "0x30", PLACES: "256x30"},
            {'tallygraph_limited_total{pod="a",tenant="",limit="shed"}': "0+1x30"},
        ],
        # Those that wait for a server take no place.
        [
            {UNDER_WAY: "250x30", WAITING: "200x30", PLACES: "256x30"},
            {'tallygraph_limited_total{pod="a",tenant="t",limit="budget"}': "0+1x30"},
        ],
    ),
    "TallygraphCacheFails": Case(
        [{'tallygraph_cache_errors_total{operation="read"}': "0+1x30"}],
        [{'tallygraph_cache_errors_total{operation="read"}': "5x30"}],
    ),
    "TallygraphLedgerUnreachable": Case(
        [{'tallygraph_ledger_up{pod="a"}': "1x30", 'tallygraph_ledger_up{pod="b"}': "0x30"}],
        [{'tallygraph_ledger_up{pod="a"}': "1x30"}],
    ),
    "TallygraphLedgerSlow": Case(
        [
            {
                LEDGER % "1.28": "0+90x30",
                LEDGER % "5.12": "0+100x30",
                LEDGER % "+Inf": "0+100x30",
            }
        ],
        [{LEDGER % "0.01": "0+100x30", LEDGER % "+Inf": "0+100x30"}],
    ),
    "TallygraphReservationsStale": Case(
        [{"tallygraph_ledger_reservation_oldest_seconds": "400x30"}],
        [{"tallygraph_ledger_reservation_oldest_seconds": "100x30"}],
    ),
    "TallygraphAnsweredAndChargedDiffer": Case(
        [
            {ANSWERED: "0+10x120", CHARGED: "0+5x120"},
            {ANSWERED: "0+5x120", CHARGED: "0+10x120"},
        ],
        [
            {ANSWERED: "0+10x120", CHARGED: "0+10x120"},
            {
                ANSWERED: "0+10x120",
                CHARGED: "0+6x120",
                'tallygraph_replays_total{tenant="t"}': "0+4x120",
            },
        ],
        120,
    ),
    "TallygraphEventsWait": Case(
        [{"tallygraph_outbox_event_oldest_seconds": "4000x30"}],
        [{"tallygraph_outbox_event_oldest_seconds": "60x30"}],
    ),
    "TallygraphNoModelServer": Case(
        [
            {NO_SERVER: "0+1x30", SERVER_UP: "0x30"},
            {NO_SERVER: "0x30", WAITING: "3x30"},
        ],
        # A server is up; nobody asks.
        [
            {NO_SERVER: "0+1x30", WAITING: "3x30", SERVER_UP: "1x30"},
            {NO_SERVER: "0x30", WAITING: "0x30", SERVER_UP: "0x30"},
        ],
    ),
    "TallygraphModelServersFail": Case(
        [{MODEL % "": "0+90x30", MODEL % "no_answer": "0+10x30"}],
        [{MODEL % "": "0+99x30", MODEL % "no_answer": "0+1x30"}, {MODEL % "": "0x30"}],
    ),
    "TallygraphModelServersQueue": Case(
        [
            {
                QUEUE % "100000": "0+10x30",
                QUEUE % "1e+06": "0+100x30",
                QUEUE % "+Inf": "0+100x30",
            }
        ],
        [{QUEUE % "1000": "0+100x30", QUEUE % "+Inf": "0+100x30"}],
    ),
    "TallygraphVersionDoesNotLoad": Case(
        # The first failure is where the series begins.
        [{LOADS % "fail": "0+1x30"}, {LOADS % "fail": "_x20 1x10", LOADS % "success": "1x30"}],
        [{LOADS % "success": "0+1x30"}, {LOADS % "fail": "1x30"}],
    ),
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as the chart renders them for the namespace ``summaries``."""
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    groups = the("production", "PrometheusRule")["spec"]["groups"]
    path.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    return path


def test_the_rules_are_rules(rules: Path) -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", rules)


def test_every_alert_has_its_cases(rules: Path) -> None:
    groups = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts == set(CASES)


def one_test(alert: str, series: Series, minutes: int, fires: bool) -> dict[str, Any]:
    firing = f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if fires else []
    return {
        "interval": "1m",
        "input_series": [
            {"series": in_namespace(name), "values": values} for name, values in series.items()
        ],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{minutes}m", "exp_samples": expected}
        ],
    }


def in_namespace(series: str) -> str:
    """The series as Prometheus has it of the release that the rules are of."""
    name, _, labels = series.partition("{")
    return f'{name}{{namespace="summaries",{labels or "}"}'


@pytest.mark.parametrize("alert", CASES)
def test_when_it_fires(alert: str, rules: Path, tmp_path: Path) -> None:
    case = CASES[alert]
    tests = [one_test(alert, series, case.minutes, True) for series in case.fires]
    tests += [one_test(alert, series, case.minutes, False) for series in case.quiet]
    # What another release does is none of its business.
    # What another release does is none of its business; only silence is.
    if alert != "TallygraphGatewayDown":
        other = one_test(alert, case.fires[0], case.minutes, False)
        for each in other["input_series"]:
            each["series"] = each["series"].replace('"summaries"', '"others"')
        tests.append(other)
    path = tmp_path / "tests.yml"
    document = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert "SUCCESS" in run("promtool", "test", "rules", path)
