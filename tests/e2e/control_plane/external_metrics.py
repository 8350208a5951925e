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
from tests.serving.deploy.prometheus_server import PrometheusServer
from tests.support.waiting import wait_until

_GROUP: Final = "external.metrics.k8s.io"
_VERSION: Final = "v1beta1"
_BASE: Final = f"/apis/{_GROUP}/{_VERSION}"
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
        if path == _BASE:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{_GROUP}/{_VERSION}",
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
        parts = path.removeprefix(f"{_BASE}/").split("/")
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
            "apiVersion": f"{_GROUP}/{_VERSION}",
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

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cluster.certificate, cluster.certificate_key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, name="external metrics")
    thread.start()
    try:
        _register(cluster, server.server_address[1])
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _register(cluster: Cluster, port: int) -> None:
    """Tell the API server where it is, and wait until that finds it there."""
    name = f"{_VERSION}.{_GROUP}"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "external-metrics", "namespace": "default"},
            # No pod of the cluster's: a name, which the API server looks up itself.
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
    )
    cluster.apply(
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": name},
            "spec": {
                "group": _GROUP,
                "version": _VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {
                    "name": "external-metrics",
                    "namespace": "default",
                    "port": port,
                },
            },
        }
    )
    wait_until(lambda: cluster.api.get(_BASE).status_code == 200, f"{name} to be served")
