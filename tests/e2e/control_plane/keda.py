"""KEDA's operator and its metrics adapter, as processes on this machine: https://keda.sh.

They run as the cluster's administrator, not with the roles of KEDA's own manifests.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import httpx

from serving.engines.base import HeldPorts
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.external_api import issue_for, registered
from tests.e2e.control_plane.programs import MADE, need, running
from tests.support.waiting import wait_until

_SERVICE: Final = "keda-metrics-apiserver"


@contextmanager
def keda(cluster: Cluster, namespace: str) -> Iterator[None]:
    """Both, and KEDA's own CustomResourceDefinitions, until the context is left.

    Args:
      namespace: whose ScaledObjects it looks after; it is made if it is not there.
    """
    need("keda")
    for path in sorted((MADE / "keda-crds").glob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", path)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
    cluster.namespace(namespace)
    certificates = _certificates(cluster)
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "KEDA_CLUSTER_OBJECT_NAMESPACE": namespace,
        "POD_NAMESPACE": namespace,
        "WATCH_NAMESPACE": namespace,
    }
    with ExitStack() as stack:

        def start(name: str, arguments: Sequence[str], url: str) -> None:
            process = stack.enter_context(
                running(cluster.folder, name, *arguments, environment=environment)
            )
            what = f"{name} to be ready, see {cluster.folder / name}.log"
            wait_until(lambda: _is_ready(url), what, process.poll, 0.2)

        ports = stack.enter_context(closing(HeldPorts(3))).numbers
        metrics, probes, secure = ports
        operator = _operator(certificates, metrics, probes)
        start("keda-operator", operator, f"http://127.0.0.1:{probes}")
        adapter = _adapter(cluster, certificates, metrics, secure)
        start("keda-adapter", adapter, f"https://127.0.0.1:{secure}")
        stack.enter_context(registered(cluster, _SERVICE, secure))
        yield


def _operator(certificates: Path, metrics: int, probes: int) -> tuple[str, ...]:
    return (
        "--metrics-bind-address=0",
        f"--health-probe-bind-address=127.0.0.1:{probes}",
        f"--metrics-service-bind-address=127.0.0.1:{metrics}",
        f"--cert-dir={certificates}",
    )


def _adapter(
    cluster: Cluster, certificates: Path, metrics: int, secure: int
) -> tuple[str, ...]:
    return (
        f"--lister-kubeconfig={cluster.kubeconfig}",
        f"--authentication-kubeconfig={cluster.kubeconfig}",
        f"--authorization-kubeconfig={cluster.kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={secure}",
        "--port=0",  # of its own metrics: any
        f"--metrics-service-address=localhost:{metrics}",
        f"--client-ca-file={certificates / 'ca.crt'}",
        f"--tls-cert-file={certificates / 'tls.crt'}",
        f"--tls-private-key-file={certificates / 'tls.key'}",
        f"--cert-dir={certificates}",
    )


def _certificates(cluster: Cluster) -> Path:
    """A folder for both programs, which know each other by it, under the names KEDA wants."""
    issued = issue_for(cluster, _SERVICE)
    folder = cluster.folder / "keda"
    folder.mkdir()
    shutil.copy(cluster.certificates.authority, folder / "ca.crt")
    shutil.copy(issued.with_suffix(".crt"), folder / "tls.crt")
    shutil.copy(issued.with_suffix(".key"), folder / "tls.key")
    return folder


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", verify=False, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
