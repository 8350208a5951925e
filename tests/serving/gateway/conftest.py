"""A gateway with a real model server behind it and a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines import RunningServer, ServerSpec, choose_engine
from tests.serving.gateway.running_gateway import RunningGateway, serving_gateway
from tokenizer.contract import MeteringRecord


@pytest.fixture(scope="session")
def metered_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small metered model, version 7, that says how it counts."""
    from tests.support.metered_model import (
        MAX_INPUT_TOKENS,
        MAX_OUTPUT_TOKENS,
        export_metered_model,
    )

    base = tmp_path_factory.mktemp("gateway") / "summarizer"
    export_metered_model(base / "7")
    MeteringRecord(
        contract_version=1,
        model_family="words",
        tokenizer_kind="words",
        tokenizer_fingerprint="f" * 64,
        vocabulary_size=1,
        max_input_tokens=MAX_INPUT_TOKENS,
        max_output_tokens=MAX_OUTPUT_TOKENS,
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
    with serving_gateway(tmp_path, model_server.rest_url, metered_models) as running:
        yield running
