"""Tells the API server who answers for External metrics: an adapter on this machine."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.e2e.control_plane.cluster import Cluster
from tests.support.waiting import wait_until

GROUP: Final = "external.metrics.k8s.io"
VERSION: Final = "v1beta1"
BASE: Final = f"/apis/{GROUP}/{VERSION}"
_NAME: Final = f"{VERSION}.{GROUP}"


def issue_for(cluster: Cluster, service: str) -> Path:
    """The adapter's certificate, without ``.crt`` or ``.key``, for a Service of ``default``."""
    hosts = [f"{service}.default.svc", "localhost", "127.0.0.1"]
    cluster.certificates.issue(service, common_name=service, hosts=hosts)
    return cluster.certificates.folder / service


@contextmanager
def registered(cluster: Cluster, service: str, port: int) -> Iterator[None]:
    """Wait until the API server finds it there; at the end, it asks it no more."""
    authority = base64.b64encode(cluster.certificates.authority.read_bytes()).decode()
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "namespace": "default"},
            # No pod of the cluster's: a name, which the API server looks up itself.
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
    )
    cluster.apply(
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _NAME},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": authority,
                "service": {"name": service, "namespace": "default", "port": port},
            },
        }
    )
    try:
        wait_until(
            lambda: cluster.api.get(BASE).status_code == 200,
            f"{_NAME} to be served",
            every_s=0.2,
        )
        yield
    finally:
        cluster.kubectl("delete", "apiservice", _NAME)
