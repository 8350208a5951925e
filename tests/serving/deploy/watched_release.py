"""A gateway and a model server that a Prometheus watches, through a load and a server's death.

Real: both programs, Prometheus with the chart's rules, Alertmanager. The model is small, and
waits for a tenth of a second for each batch. Scrapes are a second apart, and the rules'
ranges and times to wait are a fifteenth of the chart's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from serving.engines import RunningServer, ServerSpec
from serving.engines.base import HeldPorts
from serving.engines.server_files import METRICS_PATH, Batching, ServerFiles
from tests.serving.deploy.alertmanager_server import AlertmanagerServer, alertmanager_server
from tests.serving.deploy.counted_load import PRICES, CountedLoad
from tests.serving.deploy.live_dashboards import Window, expressions
from tests.serving.deploy.prometheus_server import (
    PrometheusServer,
    Target,
    prometheus_server,
    shortened,
)
from tests.serving.deploy.rendered import the
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

NAMESPACE: Final = "summaries"
TAKES_S: Final = 0.1
BUDGETS: Final = {"acme": 10_000_000, "poor": 10}
CLIENTS: Final = 4
WAITING: Final = 5
DASHBOARDS: Final = {
    "gateway": "tallygraph-gateway.json",
    "model-server": "tallygraph-model-servers.json",
}
_SCRAPE_MS: Final = 1000
_TIMES: Final = 15
_TEXTS: Final = [f"{number} two three four five six seven eight" for number in range(240)]


@dataclass
class Story:
    """What was seen of it.

    Attributes:
      first: what was asked before the windows begin, so that the server has its series.
      load: all that was asked in the gateway's window.
      asked_of_model: requests and their seconds, of the model server's window.
      windows: by job; the model server's ends before it is killed.
      waiting: the gateway dashboard's values while requests waited.
      alerts: what Alertmanager had then.
      cpu_s: the gateway's processor time in its window.
      rss: bytes of its memory at the end.
    """

    first: CountedLoad
    load: CountedLoad
    server_url: str
    asked_of_model: list[float] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    waiting: dict[str, dict[str, float]] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    cpu_s: float = 0.0
    rss: int = 0


@dataclass(frozen=True)
class Release:
    """What runs; the model server may be another process later."""

    gateway: CommandGateway
    prometheus: PrometheusServer
    alertmanager: AlertmanagerServer
    spec: ServerSpec
    targets: Mapping[str, Target]

    def until_said(self, expression: str, value: float) -> None:
        """Wait until an expression gives a value."""
        last = float("nan")

        def said() -> bool:
            nonlocal last
            last = self.prometheus.number(expression)
            return last == value

        try:
            wait_until(said, f"{expression} == {value}", every_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}") from None

    def until_scraped(self, *jobs: str) -> float:
        """Wait for a scrape of these; when that was, in seconds since 1970."""
        for job in jobs:
            self.prometheus.wait_for_next_scrape(self.targets[job])
        return time.time()

    def until_settled(self, first: CountedLoad, load: CountedLoad) -> None:
        """Wait until what is sampled now and then is what it stays at."""
        charged = first.charged.total() + load.charged.total()
        self.until_said("tallygraph_outbox_events_waiting", charged)
        self.until_said("tallygraph_ledger_reservations_open", 0)
        left = BUDGETS["acme"] - load.micro("acme")
        self.until_said('tallygraph_budget_remaining_micro{tenant="acme"}', left)

    def server(self) -> RunningServer:
        server = WarmEngine().start(self.spec)
        server.wait_until_available(300)
        return server


def story_of(release: Release) -> Story:
    """Tell it from the beginning to the end."""
    gateway, prometheus = release.gateway, release.prometheus
    keys = {name: gateway.key(name, budget_micro=most) for name, most in BUDGETS.items()}
    keys["first"] = gateway.key("first")
    url = f"grpc://127.0.0.1:{release.spec.grpc_port}"
    story = Story(CountedLoad(gateway), CountedLoad(gateway), url)
    with closing_server(release.server()) as server:
        release.until_said(f'tallygraph_model_server_up{{server="{url}"}}', 1)
        release.until_said('count(tallygraph_tokens_total{type="output"})', len(keys))
        body = {"model": "summarizer", "text": "a text that was there before"}
        assert story.first.ask("first", keys["first"], body).status_code == 200
        release.until_said('sum(tallygraph_tokens_total{type="output"})', 4)
        pid = gateway.process.pid
        begins, cpu_s = time.time(), processor_s(pid)
        release.until_scraped(*DASHBOARDS)
        ask_everything(story.load, keys)
        story.asked_of_model = list(story.load.model_seconds)
        release.until_settled(story.first, story.load)
        story.windows["model-server"] = Window.between(
            prometheus, NAMESPACE, "model-server", begins, release.until_scraped(*DASHBOARDS)
        )
        server.process.kill()
        server.process.wait()
    release.until_said(f'tallygraph_model_server_up{{server="{url}"}}', 0)
    texts = [f"{number} of those that wait" for number in range(WAITING)]
    with story.load.asking("acme", keys["acme"], texts):
        watch_those_that_wait(release, story)
        again = release.server()
    with closing_server(again):
        wait_until(lambda: not release.alertmanager.active(), "no alert is active", every_s=0.2)
        release.until_settled(story.first, story.load)
        ends = release.until_scraped(*DASHBOARDS)
        story.cpu_s, story.rss = processor_s(pid) - cpu_s, memory(pid)
        story.windows["gateway"] = Window.between(
            prometheus, NAMESPACE, "gateway", begins, ends
        )
    return story


def ask_everything(load: CountedLoad, keys: Mapping[str, str]) -> None:
    """New texts, old ones, repeated requests, and some of each error."""
    load.ask_all("acme", keys["acme"], _TEXTS, CLIENTS)
    load.ask_all("acme", keys["acme"], _TEXTS[:40], CLIENTS)
    for number in range(5):
        for _ in range(2):
            body = {"model": "summarizer", "text": f"{number} once and not twice"}
            load.ask("acme", keys["acme"], body, f"key-{number}")
    for number in range(7):
        body = {"model": "summarizer", "text": f"{number} that nobody can pay for"}
        load.ask("poor", keys["poor"], body)
    for _ in range(6):
        load.ask("", "tg_nobody_nothing", {"model": "summarizer", "text": "a"})
    for _ in range(3):
        load.ask("acme", keys["acme"], {"model": "summarizer", "texts": "a"})


def watch_those_that_wait(release: Release, story: Story) -> None:
    """Read the gateway's dashboard, and wait for the alert."""
    release.until_said(f'tallygraph_model_requests_waiting{{namespace="{NAMESPACE}"}}', WAITING)
    now = release.until_scraped("gateway")
    window = Window(release.prometheus, NAMESPACE, "gateway", now - 10, now, 1.0)
    story.waiting = {
        each.place: window.read(each) for each in expressions(DASHBOARDS["gateway"])
    }
    wait_until(release.alertmanager.active, "Alertmanager has an alert", every_s=0.2)
    story.alerts = release.alertmanager.active()


@contextmanager
def release_in(folder: Path) -> Iterator[Release]:
    """Everything but the model server, which is not started yet."""
    from tests.support.metered_model import export_metered_version

    models = folder / "summarizer"
    export_metered_version(models / "7", takes_s=TAKES_S)
    files = ServerFiles.write(folder / "models.config", "summarizer", models, Batching())
    for name in ("prometheus", "alertmanager"):
        (folder / name).mkdir()
    with (
        closing(HeldPorts(2)) as ports,
        alertmanager_server(folder / "alertmanager") as alertmanager,
    ):
        spec = files.spec(
            ("summarizer",), grpc_port=ports.numbers[0], rest_port=ports.numbers[1]
        )
        with command_gateway(
            folder,
            models,
            [f"grpc://127.0.0.1:{spec.grpc_port}"],
            *("--cache", "memory", "--model-wait-s", "600"),
            prices=PRICES,
            until="/readyz",
        ) as gateway:
            admin = gateway.process.admin_url.removeprefix("http://")
            server = f"127.0.0.1:{spec.rest_port}"
            targets = {
                "gateway": Target("gateway", "gateway-0", admin),
                "model-server": Target("model-server", "models-0", server, METRICS_PATH),
            }
            with prometheus_server(
                folder / "prometheus",
                list(targets.values()),
                namespace=NAMESPACE,
                every_ms=_SCRAPE_MS,
                rules=quick_rules(),
                alertmanager=alertmanager.address,
            ) as prometheus:
                yield Release(gateway, prometheus, alertmanager, spec, targets)


def quick_rules() -> list[dict[str, Any]]:
    """The chart's, with shorter ranges and times to wait."""
    groups: list[dict[str, Any]] = the("production", "PrometheusRule")["spec"]["groups"]
    quick = []
    for group in groups:
        rules = [{**rule, "expr": shortened(rule["expr"], _TIMES)} for rule in group["rules"]]
        for rule in rules:
            if "for" in rule:
                # The same notation, without the bracket that `shortened` looks for.
                rule["for"] = shortened(f"[{rule['for']}", _TIMES).removeprefix("[")
        quick.append({**group, "rules": rules})
    return quick


@contextmanager
def closing_server(server: RunningServer) -> Iterator[Any]:
    try:
        yield server
    finally:
        server.stop()


def processor_s(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
