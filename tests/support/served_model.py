"""Fixtures: a small metered model in a folder, and a server of it, for a whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines import RunningServer, ServerSpec
from tests.support.warm_model_server import WarmEngine


@pytest.fixture(scope="session")
def metered_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small metered model, version 7, that says how it counts."""
    from tests.support.metered_model import export_metered_version

    base = tmp_path_factory.mktemp("gateway") / "summarizer"
    export_metered_version(base / "7")
    return base


@pytest.fixture(scope="session")
def model_server(metered_models: Path) -> Iterator[RunningServer]:
    """A server of that model."""
    spec = ServerSpec.single("summarizer", metered_models)
    with WarmEngine().start(spec) as server:
        server.wait_until_available(120)
        yield server
