"""A gateway whose probes are asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines import RunningServer
from tests.support.running_gateway import RunningGateway, serving_gateway


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    reference_server: RunningServer,
    metered_base: Path,
) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("probed-gateway")
    with serving_gateway(folder, reference_server.rest_url, metered_base) as running:
        yield running
