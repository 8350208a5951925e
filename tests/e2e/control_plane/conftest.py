"""A control plane with nodes and the chart's custom resources, for the tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.crds import custom_resource_definitions
from tests.e2e.control_plane.kwok import nodes
from tests.e2e.control_plane.starting import control_plane


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        for definition in custom_resource_definitions():
            running.apply(definition)
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
        with nodes(running):
            yield running
