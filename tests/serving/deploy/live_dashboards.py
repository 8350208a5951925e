"""The dashboards' expressions, asked of a Prometheus over a time in which a load was counted.

A counter is scraped every so often, so `rate` over a window knows what it grew by between the
window's first and last scrape, and takes it for what the window's ends add. Where nothing was
counted before the first nor after the last scrape, the rate times the window is therefore at
least the count, and at most the count times `Window.most`: the window over the time between
those two scrapes. That is the whole bound: some per cent here. The ratio of two rates may
be off by as much either way, and gauges are what they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from scripts.manifests import ROOT
from tests.serving.deploy.prometheus_server import PrometheusServer

GRAFANA: Final = ROOT / "serving/deploy/grafana"
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Expression:
    """One of a panel's.

    Attributes:
      panel, legend: where it stands.
    """

    panel: str
    legend: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.panel} | {self.legend}"


def expressions(dashboard: str) -> list[Expression]:
    """All of a dashboard's."""
    panels = json.loads((GRAFANA / dashboard).read_text(encoding="utf-8"))["panels"]
    return [
        Expression(panel["title"], target["legendFormat"], target["expr"])
        for panel in panels
        for target in panel["targets"]
    ]


@dataclass(frozen=True)
class Window:
    """A time in which Prometheus has scraped one job.

    Attributes:
      job: whose dashboard it is.
      begins, ends: Unix times in seconds.
      most: by what the counts of it may be more than what was counted, at most.
    """

    prometheus: PrometheusServer
    namespace: str
    job: str
    begins: float
    ends: float
    most: float

    @classmethod
    def between(
        cls, prometheus: PrometheusServer, namespace: str, job: str, begins: float, ends: float
    ) -> Window:
        milliseconds = round((ends - begins) * 1000)
        selector = f'up{{namespace="{namespace}",job="{job}"}}[{milliseconds}ms]'
        # One that a busy machine was too slow for has no samples of counters.
        scrapes = [when for when, up in prometheus.samples(selector, ends) if up == 1]
        most = (ends - begins) / (scrapes[-1] - scrapes[0])
        # Else it would be no bound: Prometheus has been kept from scraping.
        assert most < 1.2, f"{len(scrapes)} scrapes in {ends - begins:.1f} s"
        return cls(prometheus, namespace, job, begins, ends, most)

    @property
    def seconds(self) -> float:
        return self.ends - self.begins

    def read(self, expression: Expression) -> dict[str, float]:
        """What it gives, by the value of the one label that it is by; empty for none."""
        text = expression.text
        for name, value in (("namespace", self.namespace), ("job", self.job)):
            text = text.replace(f"${name}", value)
        text = re.sub(r"\$(model|tenant)\b", ".*", text)
        text = text.replace("$__rate_interval", f"{round(self.seconds * 1000)}ms")
        assert "$" not in text, text
        found = self.prometheus.query(text, self.ends)
        return {" ".join(each["metric"].values()): float(each["value"][1]) for each in found}

    def counted(self, rates: Mapping[str, float], counts: Mapping[str, float]) -> None:
        """Assert that rates a second are those of these counts, and of no other.

        What was counted from 0 and has stayed there need not be among the counts.
        """
        assert set(counts) <= set(rates), f"{rates}; counted: {counts}"
        for label, rate in rates.items():
            said, count = rate * self.seconds, counts.get(label, 0)
            assert said >= count * (1 - _ROUNDING), f"{label}: {said}; counted: {count}"
            assert said <= count * self.most * (1 + _ROUNDING), f"{label}: {said}, {count}"


def only(values: Mapping[str, float]) -> float:
    """The value of an expression that is by no label."""
    assert set(values) == {""}, values
    return values[""]


def quantile(seconds: list[float], share: float) -> float:
    """The least of them that is not below such a share of all."""
    return sorted(seconds)[math.ceil(share * len(seconds)) - 1]


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-9)
