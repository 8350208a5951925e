"""Alerts and dashboards ask for what is exposed, in PromQL that parses, and say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from scripts.documents.reference.gateway import idle_metrics
from scripts.manifests import CHART, ROOT, Rendering
from serving.model_server import metrics as model_server
from serving.model_server.metrics import Counter
from tests.serving.deploy.rendered import VARIANTS, Document, of_kind, rendered, the

DASHBOARDS = sorted((ROOT / "serving/deploy/grafana").glob("*.json"))
RUNBOOKS = ROOT / "docs/runbooks"
# What Prometheus adds to whatever it scrapes, by the ServiceMonitors.
TARGET_LABELS = {"namespace", "job", "pod", "service", "instance"}
_ENDINGS = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}


@cache
def exposed() -> dict[str, set[str]]:
    """Each metric that gateway and model server expose, with its labels."""
    found: dict[str, set[str]] = {"up": set()}
    with idle_metrics() as metrics:
        labels = {
            next(iter(each.describe())).name: set(each._labelnames)
            for each in vars(metrics).values()
            if isinstance(each, MetricWrapperBase)
        }
        for family in text_string_to_metric_families(metrics.page().decode()):
            for ending in _ENDINGS[family.type]:
                found[family.name + ending] = labels.get(family.name, set()) | (
                    {"le"} if ending == "_bucket" else set()
                )
    for metric in model_server.Metrics()._all:
        name = model_server._metric_name(metric.path)
        if isinstance(metric, Counter):
            found[name] = set(metric._names)
        else:
            for ending in _ENDINGS["histogram"]:
                found[name + ending] = set(metric._names) | (
                    {"le"} if ending == "_bucket" else set()
                )
    return found


def rules() -> list[dict[str, Any]]:
    spec = the("production", "PrometheusRule")["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def parts(node: object) -> Iterator[Any]:
    """An expression and all that it is made of."""
    yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield from parts(inner)
    for inner in getattr(node, "args", None) or ():
        yield from parts(inner)


def check_expression(text: str, known: set[str] = frozenset()) -> set[str]:  # type: ignore[assignment]
    """Assert that it parses, and asks for metrics and labels that there are.

    Returns:
      The names of the metrics.
    """
    names: set[str] = set()
    labels: set[str] = set()
    allowed = set(TARGET_LABELS)
    for part in parts(promql_parser.parse(text)):
        if isinstance(part, promql_parser.VectorSelector):
            matchers = part.matchers.matchers
            assert part.name, text
            names.add(part.name)
            if part.name in known:
                allowed |= {"namespace"}
                continue
            assert part.name in exposed(), f"{part.name} is not exposed: {text}"
            there = exposed()[part.name] | TARGET_LABELS
            assert {each.name for each in matchers} <= there, text
            allowed |= there
        elif isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            labels |= set(part.modifier.labels)
    assert names, text
    assert labels <= allowed, text
    return names


def test_what_is_not_there_is_found() -> None:
    for wrong in (
        "sum(tallygraph_budget_remaining)",
        'sum(tallygraph_tokens_total{colour="red"})',
        "sum by (colour) (tallygraph_tokens_total)",
        "rate(tallygraph_tokens_total[5m]) / sum(up) + rate(nothing_total[1m])",
    ):
        with pytest.raises(AssertionError):
            check_expression(wrong)
    with pytest.raises(ValueError):
        check_expression("sum(rate(tallygraph_tokens_total[5m])")


def test_every_rule_asks_for_what_there_is() -> None:
    asked: set[str] = set()
    for rule in rules():
        asked |= check_expression(rule["expr"], recorded())
    assert recorded() - asked == {
        # For dashboards and metrics adapters.
        "tallygraph:model_requests_wanted:sum",
        "tallygraph:output_tokens:rate2m",
    }


def test_every_rule_is_of_its_release_alone() -> None:
    for rule in rules():
        for part in parts(promql_parser.parse(rule["expr"])):
            if isinstance(part, promql_parser.VectorSelector):
                found = {each.name: each.value for each in part.matchers.matchers}
                assert found.get("namespace") == "summaries", rule
    text = json.dumps(the("production", "PrometheusRule"))
    assert "$NAMESPACE" not in text and "$ERROR" not in text and "$RUNBOOKS" not in text
    assert json.dumps(rules()).count("14.4 * 0.001") == 2


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) == len({each["alert"] for each in alerts}) >= 13
    for each in alerts:
        assert each["labels"]["severity"] in ("critical", "warning")
        summary = each["annotations"]["summary"]
        assert summary.endswith(".") and len(summary) > 20
        page = ROOT / each["annotations"]["runbook_url"]
        assert page.parent == RUNBOOKS
        text = page.read_text(encoding="utf-8")
        assert f"`{each['alert']}`" in text
        for heading in ("## What it means", "## What to look at", "## What to do"):
            assert heading in text, page
    named = {Path(each["annotations"]["runbook_url"]).name for each in alerts}
    assert {page.name for page in RUNBOOKS.glob("*.md")} == named | {"index.md"}
    index = (RUNBOOKS / "index.md").read_text(encoding="utf-8")
    assert all(f"({name})" in index for name in named)
    assert all(f"`{each['alert']}`" in index for each in alerts)


def test_runbooks_may_be_elsewhere() -> None:
    sets = {"monitoring.rules.runbooks": "https://wiki.example.com/tallygraph"}
    text = Rendering(VARIANTS["production"].values, sets).render()
    assert "runbook_url: https://wiki.example.com/tallygraph/error-budget.md" in text
    assert "docs/runbooks" not in text


def test_commands_of_runbooks_are_about_what_the_chart_makes() -> None:
    """Names of workloads after `kubectl`."""
    names = {each["metadata"]["name"] for each in rendered("production")}
    found = 0
    for page in [*RUNBOOKS.glob("*.md"), ROOT / "docs/kubernetes.md"]:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(
            r"(?:deployment|statefulset|cronjob|service|svc|hpa|scaledobject)/([a-z-]+)", text
        ):
            found += 1
            assert name in names, f"{page.name}: {name}"
    assert found > 5


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_asks_for_what_there_is(path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert {"namespace", "job", "model"} <= variables
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked = target["expr"].replace("$__rate_interval", "5m")
            assert set(re.findall(r"\$([a-z]+)", asked)) <= variables
            check_expression(asked)
            for selector in re.findall(r"\{([^}]*)\}", asked):
                assert 'namespace=~"$namespace",job=~"$job"' in selector
    for each in dashboard["templating"]["list"]:
        if each["type"] == "query":
            query = each["query"]["query"]
            (selector, label) = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
            (name,) = check_expression(selector)
            assert label in exposed()[name] | TARGET_LABELS


def test_latencies_are_of_what_was_answered() -> None:
    (path,) = [each for each in DASHBOARDS if each.stem == "tallygraph-gateway"]
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    latencies = [each for each in expressions if "gen_ai" in each and "_bucket" in each]
    assert len(latencies) == 5
    assert all('error_type=""' in each for each in latencies)


def test_dashboards_of_model_servers_say_microseconds() -> None:
    (path,) = [each for each in DASHBOARDS if each.stem == "tallygraph-model-servers"]
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        of_time = any("latency" in target["expr"] for target in panel["targets"])
        assert (panel["fieldConfig"]["defaults"]["unit"] == "µs") == of_time, panel["title"]


def test_dashboards_are_rendered() -> None:
    maps = of_kind("scale to zero", "ConfigMap", "")
    found: dict[str, Document] = {
        name: json.loads(text)
        for each in maps
        if "grafana_dashboard" in each["metadata"]["labels"]
        for name, text in each["data"].items()
    }
    assert set(found) == {path.name for path in DASHBOARDS}
    for path in DASHBOARDS:
        assert found[path.name] == json.loads(path.read_text(encoding="utf-8"))
    assert (CHART / "dashboards").is_symlink()


@pytest.mark.parametrize("variant", ["production", "scale to zero"])
def test_scalers_ask_for_what_there_is(variant: str) -> None:
    triggers = the(variant, "ScaledObject")["spec"]["triggers"]
    names = set()
    for each in triggers:
        assert each["metricType"] == "AverageValue"  # a fallback needs it
        names |= check_expression(each["metadata"]["query"])
        assert 'namespace="summaries"' in each["metadata"]["query"]
    asked = {"http_server_request_duration_seconds_count"} if variant != "production" else set()
    assert names == {
        "tallygraph_model_requests_under_way",
        "tallygraph_model_requests_waiting",
        "tallygraph_tokens_total",
        *asked,
    }
