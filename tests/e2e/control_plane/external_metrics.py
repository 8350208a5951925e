"""Kubernetes' External metrics API over what a Prometheus has recorded by the chart's rules.

What a metrics adapter does on a cluster, for the two metrics that the chart's autoscaler asks
for: https://github.com/kubernetes/metrics, ``external.metrics.k8s.io/v1beta1``.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.external_api import BASE, GROUP, VERSION, issue_for, registered
from tests.serving.deploy.prometheus_server import PrometheusServer

_SERVICE: Final = "external-metrics"
_NOW: Final = "2026-01-01T00:00:00Z"


@dataclass
class ExternalMetrics:
    """The adapter.

    Attributes:
      recorded: the name of the recording rule, by the metric's.
      values: what it has answered, by the metric.
    """

    prometheus: PrometheusServer
    recorded: Mapping[str, str]
    values: dict[str, list[float]] = field(default_factory=dict)

    def answer(self, path: str, query: Mapping[str, list[str]]) -> dict[str, Any] | None:
        """The body for a request; None for a path that there is not."""
        if path == BASE:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": [
                    {
                        "name": name,
                        "singularName": "",
                        "namespaced": True,
                        "kind": "ExternalMetricValueList",
                        "verbs": ["get"],
                    }
                    for name in self.recorded
                ],
            }
        parts = path.removeprefix(f"{BASE}/").split("/")
        if len(parts) != 3 or parts[0] != "namespaces" or parts[2] not in self.recorded:
            return None
        (selector,) = query.get("labelSelector", [""])
        return self._values(parts[2], selector)

    def _values(self, metric: str, selector: str) -> dict[str, Any]:
        labels = dict(each.split("=", 1) for each in selector.split(",") if each)
        matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
        found = self.prometheus.query(f"{self.recorded[metric]}{{{matchers}}}")
        values = [float(each["value"][1]) for each in found]
        self.values.setdefault(metric, []).extend(values)
        return {
            "kind": "ExternalMetricValueList",
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {},
            "items": [
                {
                    "metricName": metric,
                    "metricLabels": labels,
                    "timestamp": _NOW,
                    "value": f"{round(value * 1000)}m",
                }
                for value in values
            ],
        }


@contextmanager
def serving_external_metrics(cluster: Cluster, metrics: ExternalMetrics) -> Iterator[None]:
    """Serve it, known to the API server as that API, until the context is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = metrics.answer(url.path, parse_qs(url.query))
            content = json.dumps(body or {"kind": "Status", "apiVersion": "v1"}).encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the API server asks often."""

    issued = issue_for(cluster, _SERVICE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.with_suffix(".crt"), issued.with_suffix(".key"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, name="external metrics")
    thread.start()
    try:
        with registered(cluster, _SERVICE, server.server_address[1]):
            yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
