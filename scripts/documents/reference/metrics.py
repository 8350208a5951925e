"""What can be watched: Prometheus metrics, log lines, usage events."""

from __future__ import annotations

import datetime
import json

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.markdown import table
from scripts.documents.reference.gateway import idle_metrics
from scripts.documents.reference.text import attribute_meanings, cell, code
from serving.gateway.ops.request_record import RequestRecord
from serving.ledger.events import EVENT_TYPE, usage_event
from serving.ledger.outbox import CONTENT_TYPE
from serving.ledger.records import Entry
from serving.model_server import metrics as model_server

_PAGE = """\
# Metrics and events

## Metrics of the gateway

`GET /metrics` on the private address (`--admin-port`), for Prometheus. Names are those of
OpenTelemetry if it has one ([generative
AI](https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/), HTTP), in Prometheus's
notation; a histogram has `_bucket`, `_sum` and `_count`. A Grafana dashboard:
[`serving/deploy/grafana/tallygraph-gateway.json`](../../serving/deploy/grafana/tallygraph-gateway.json).

{gateway}
## Metrics of the model server

`GET /monitoring/prometheus/metrics`, under TensorFlow Serving's names, so that its dashboards
work on both servers.

{model_server}
## Log lines of the gateway

One JSON object per line on standard error; none contains a text, a summary or a key. Every
request ends with the event `request` and these fields; fields without a value are left out. The
response's `X-Request-Id` is its `request_id`.

{log}
## Usage events

A charge, reversal or refund puts one event into the outbox, in the same transaction.
`tallygraph gateway --events-to https://...` posts them while it runs, and `tallygraph ledger
deliver --to https://...` by hand, as `{content_type}`, each at least once and
always with the same `id`, in the format that OpenMeter ingests (CloudEvents 1.0, type
`{event_type}`):

```json
{event}
```

Other types go the same way; ignore those that you do not use: `tallygraph.credit` for a top-up
of prepaid credit; `tallygraph.budget` when a tenant's spending reaches a share of its month's
budget (`month`, `percent`, `budget_micro`, `spent_micro`, and the `entry` and `request_id` that
reached it); `tallygraph.anchor`.
"""

_ENTRY = Entry(
    tenant="acme",
    number=1,
    kind="charge",
    request_id="0f8fad5bd9cb469fa16570867728950e",
    request_hash="0" * 64,
    model="summarizer",
    model_version="1795582584",
    tokenizer_fingerprint="5f0c" + "0" * 60,
    contract_version=1,
    input_tokens=35,
    cached_tokens=0,
    output_tokens=4,
    finish_reasons="stop",
    latency_ms=21,
    amount_micro=20,
    currency="EUR",
    price_id="2026-11-summarizer-standard",
    reason="",
    created_at=datetime.datetime(2026, 11, 26, 21, 24, 5),
    previous_hash="0" * 64,
    hash="0" * 64,
    month="2026-11",
)


def metrics_and_events() -> str:
    """The page."""
    event = json.dumps(json.loads(usage_event(_ENTRY)), indent=2)
    return _PAGE.format(
        gateway=_gateway(),
        model_server=_model_server(),
        log=_log_fields(),
        event=event,
        event_type=EVENT_TYPE,
        content_type=CONTENT_TYPE,
    )


def _gateway() -> str:
    with idle_metrics() as metrics:
        labels = {
            next(iter(each.describe())).name: each._labelnames
            for each in vars(metrics).values()
            if isinstance(each, MetricWrapperBase)
        }
        page = metrics.page().decode()
    rows = [
        (
            code(f"{family.name}_total" if family.type == "counter" else family.name),
            family.type,
            ", ".join(map(code, labels.get(family.name, ()))),
            cell(family.documentation),
        )
        for family in text_string_to_metric_families(page)
        if not family.name.endswith("_created")
    ]
    return table(("metric", "type", "labels", "meaning"), rows)


def _model_server() -> str:
    rows = [
        (code(model_server._metric_name(each.path)), kind, ", ".join(map(code, each._names)))
        for each in vars(model_server.Metrics()).values()
        if (kind := _kind(each))
    ]
    return table(("metric", "type", "labels"), rows)


def _kind(metric: object) -> str:
    if isinstance(metric, model_server.Counter):
        return "counter"
    return "histogram" if isinstance(metric, model_server.Histogram) else ""


def _log_fields() -> str:
    meanings = attribute_meanings(RequestRecord)
    rows = [
        (code(name), cell(meanings[name]))
        for name in RequestRecord.__slots__
        if name not in RequestRecord.NOT_LOGGED
    ]
    return table(
        ("field", "meaning"),
        [
            *rows,
            (code("latency_ms"), "from the arrival of the request to the end of its response."),
        ],
    )
