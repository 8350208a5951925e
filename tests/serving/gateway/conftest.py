"""A gateway with a real model server behind it and a real ledger."""

from __future__ import annotations

import json
import runpy
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import uvicorn

from serving.billing import PriceBook
from serving.engines import RunningServer, ServerSpec, choose_engine
from serving.engines.base import free_ports
from serving.gateway.app import Gateway, create_app
from serving.gateway.charging import ChargedModel
from serving.gateway.models import ServedModel
from serving.gateway.tenants import Tenants
from serving.ledger import Ledger
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from tokenizer.contract import MeteringRecord

PRICES = """
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2026-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 1000
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 10000
"""
# The small model reads 8 words and writes 4: so much can a text cost.
MOST_MICRO = 8 + 40


@pytest.fixture(scope="session")
def metered_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small metered model, version 7, that says how it counts."""
    module = runpy.run_path(str(Path(__file__).parents[2] / "metered_model.py"))
    base = tmp_path_factory.mktemp("gateway") / "summarizer"
    module["export_metered_model"](base / "7")
    MeteringRecord(
        contract_version=1,
        model_family="words",
        tokenizer_kind="words",
        tokenizer_fingerprint="f" * 64,
        vocabulary_size=1,
        max_input_tokens=module["MAX_INPUT_TOKENS"],
        max_output_tokens=module["MAX_OUTPUT_TOKENS"],
        task_prefix="",
        pipeline_run="none",
        spans=(),
        code_version="none",
    ).save(base / "7")
    return base


@pytest.fixture(scope="session")
def model_server(metered_models: Path) -> Iterator[RunningServer]:
    with choose_engine("local").start(
        ServerSpec.single("summarizer", metered_models)
    ) as server:
        server.wait_until_available(120)
        yield server


@dataclass
class RunningGateway:
    """A gateway that answers at ``url``, and what is behind it."""

    url: str
    engine: sa.Engine
    tenants: Tenants

    def key(self, tenant: str = "acme", budget_micro: int | None = None, **options) -> str:
        self.tenants.create(tenant, "standard", budget_micro)
        return self.tenants.make_key(tenant, **options)

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@pytest.fixture
def gateway(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> Iterator[RunningGateway]:
    engine = open_database(f"sqlite:///{tmp_path}/ledger.sqlite")
    upgrade(engine)
    (tmp_path / "prices.toml").write_text(PRICES)
    model = ServedModel("summarizer", [model_server.rest_url], metered_models)
    charged = ChargedModel(
        model, Ledger(engine, "gateway-0"), PriceBook.load(tmp_path / "prices.toml")
    )
    tenants = Tenants(engine)
    app = create_app(Gateway(engine, tenants, [charged]), model.close)
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield RunningGateway(f"http://127.0.0.1:{port}", engine, tenants)
    server.should_exit = True
    thread.join()
    engine.dispose()


def data_of(stream: str) -> list[dict]:
    """The events of a stream but for its end."""
    events = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]
