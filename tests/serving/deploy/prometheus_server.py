"""A Prometheus that scrapes, for tests that take long: Debian's, see `prometheus_tools`."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from serving.engines.base import HeldPorts
from tests.serving.deploy.prometheus_tools import program
from tests.support.waiting import wait_until

_DEADLINE_S = 120
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Target:
    """A page of metrics, and the labels that a ServiceMonitor gives to what is on it.

    Attributes:
      address: host and port.
    """

    job: str
    pod: str
    address: str
    path: str = "/metrics"


@dataclass(frozen=True)
class PrometheusServer:
    """A running one."""

    url: str
    process: subprocess.Popen[bytes]

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series that an expression gives, each with `metric` and `value`.

        Args:
          at: Unix time in seconds; None for now.
        """
        return self._asked(expression, "vector", at)

    def samples(self, selector: str, at: float) -> list[tuple[float, float]]:
        """Times and values of the one series of a selector with a range, such as ``up[1m]``."""
        (series,) = self._asked(selector, "matrix", at)
        return [(float(when), float(value)) for when, value in series["values"]]

    def _asked(self, expression: str, kind: str, at: float | None) -> list[dict[str, Any]]:
        answer = httpx.post(
            f"{self.url}/api/v1/query",
            data={"query": expression, **({} if at is None else {"time": f"{at:.3f}"})},
            timeout=_DEADLINE_S,
            trust_env=False,
        )
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        data = answer.json()["data"]
        assert data["resultType"] == kind, data
        found: list[dict[str, Any]] = data["result"]
        return found

    def number(self, expression: str) -> float:
        """What an expression without labels gives; 0 where it gives nothing, as for KEDA."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression}: {found}"
        return float(found[0]["value"][1]) if found else 0.0

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections and answers none of them, until the context is left."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def wait_until_scraped(self, target: Target) -> None:
        expression = f'up{{job="{target.job}",pod="{target.pod}"}} == 1'
        wait_until(lambda: self.query(expression), f"{target} is scraped", every_s=0.5)

    def wait_for_next_scrape(self, target: Target) -> None:
        """Return when a scrape has succeeded that had not begun before."""
        up = f'up{{job="{target.job}",pod="{target.pod}"}}'
        asked = time.time()
        wait_until(
            lambda: self.number(f"timestamp({up}) and {up} == 1") > asked,
            f"{target} is scraped",
            every_s=0.1,
        )


def shortened(expression: str, times: int) -> str:
    """The expression with each range and offset so many times shorter, in whole milliseconds.

    Raises:
      ValueError: what would be left of one is not whole milliseconds.
    """

    def shorter(found: re.Match[str]) -> str:
        milliseconds, rest = divmod(int(found[2]) * _SECONDS[found[3]] * 1000, times)
        if rest:
            raise ValueError(f"{found[0]} cannot be divided by {times} into milliseconds.")
        return f"{found[1]}{milliseconds}ms"

    return re.sub(r"(\[|offset )(\d+)([smhd])\b", shorter, expression)


@contextmanager
def prometheus_server(
    folder: Path,
    targets: Sequence[Target],
    *,
    namespace: str,
    every_ms: int,
    rules: Sequence[Mapping[str, Any]] = (),
    alertmanager: str | None = None,
) -> Iterator[PrometheusServer]:
    """Start one, and stop it at the end.

    Args:
      folder: for its files; empty.
      namespace: label of all targets.
      every_ms: between two scrapes of a target, and two evaluations of a rule.
      rules: groups of rules.
      alertmanager: host and port of the one that alerts are sent to; None for none.
    """
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": f"{every_ms}ms",
            "scrape_timeout": f"{every_ms}ms",
            "evaluation_interval": f"{every_ms}ms",
        },
        "scrape_configs": [
            {
                "job_name": f"{target.job}/{target.pod}",
                "metrics_path": target.path,
                "static_configs": [
                    {
                        "targets": [target.address],
                        "labels": {
                            "namespace": namespace,
                            "job": target.job,
                            "pod": target.pod,
                        },
                    }
                ],
            }
            for target in targets
        ],
    }
    if rules:
        config["rule_files"] = ["rules.yml"]
        text = yaml.safe_dump({"groups": list(rules)})
        (folder / "rules.yml").write_text(text, encoding="utf-8")
    if alertmanager is not None:
        managers = {"static_configs": [{"targets": [alertmanager]}]}
        config["alerting"] = {"alertmanagers": [managers]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with closing(HeldPorts(1)) as held:
        address = f"127.0.0.1:{held.numbers[0]}"
        command: list[str | Path] = [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ]
        with running(command, folder, f"http://{address}/-/ready") as process:
            yield PrometheusServer(f"http://{address}", process)


@contextmanager
def running(
    command: Sequence[str | Path], folder: Path, ready_url: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of Prometheus's, from when it is ready to its end; its log is in the folder."""
    log_file = folder / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
    try:
        wait_until(
            lambda: _answers(ready_url),
            f"{ready_url} answers; the log: {log_file}",
            process.poll,
            every_s=0.2,
        )
        yield process
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_DEADLINE_S, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
