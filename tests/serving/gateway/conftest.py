"""A gateway with a real model server behind it and a real ledger."""

from __future__ import annotations

import runpy
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from running_gateway import PRICES, RunningGateway

from serving.billing import PriceBook
from serving.engines import RunningServer, ServerSpec, choose_engine
from serving.engines.base import free_ports
from serving.gateway.app import Gateway, create_app
from serving.gateway.backend import ServedModel
from serving.gateway.charging import ChargedModel
from serving.gateway.metrics import Metrics
from serving.gateway.rates import Rates
from serving.gateway.tenants import Tenants
from serving.ledger import Ledger
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from tokenizer.contract import MeteringRecord


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


@pytest.fixture
def gateway(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> Iterator[RunningGateway]:
    engine = open_database(f"sqlite:///{tmp_path}/ledger.sqlite")
    upgrade(engine)
    (tmp_path / "prices.toml").write_text(PRICES)
    model = ServedModel("summarizer", [model_server.rest_url], metered_models)
    metrics = Metrics()
    charged = ChargedModel(
        model,
        Ledger(engine, "gateway-0"),
        PriceBook.load(tmp_path / "prices.toml"),
        Rates(),
        metrics,
    )
    tenants = Tenants(engine)
    app = create_app(Gateway(engine, tenants, [charged], metrics, 32), model.close)
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
