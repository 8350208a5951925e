"""etcd, and Kubernetes' own API server, controller manager and scheduler, on this machine.

Nodes are `kwok`'s. Networks, images and mounted volumes are not there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from serving.engines.base import HeldPorts
from tests.e2e.control_plane.certificates import Certificates, accounts_key
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.programs import need, running
from tests.support.waiting import wait_until

_DEADLINE_S: Final = 120
_AGGREGATOR: Final = "front-proxy-client"


@contextmanager
def control_plane(folder: Path) -> Iterator[Cluster]:
    """Start one, and stop it at the end.

    Where it cannot be built, the test that asks for it is skipped, and says why.

    Args:
      folder: for its files; empty.
    """
    need("control-plane")
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n', "utf-8")
    (folder / "accounts.key").write_bytes(accounts_key())
    certificates = Certificates.into(folder / "authority")
    certificates.issue(_AGGREGATOR, common_name=_AGGREGATOR)
    with ExitStack() as stack:
        etcd_port, peer_port, port = stack.enter_context(closing(HeldPorts(3))).numbers
        etcd, url = f"http://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{port}"
        stack.enter_context(
            running(
                folder,
                "etcd",
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
                "--unsafe-no-fsync",
            )
        )
        arguments = (*_server(folder, certificates), f"--etcd-servers={etcd}")
        server = stack.enter_context(
            running(folder, "kube-apiserver", *arguments, f"--secure-port={port}")
        )
        api = stack.enter_context(
            httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {token}"},
                timeout=_DEADLINE_S,
                trust_env=False,
                verify=False,
            )
        )
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(url, token)), "utf-8")
        wait_until(lambda: _ready(api), f"the API server, see {folder}", server.poll, 0.2)
        for name, arguments in _controllers(folder).items():
            stack.enter_context(
                running(
                    folder,
                    name,
                    f"--kubeconfig={kubeconfig}",
                    "--leader-elect=false",
                    "--secure-port=0",
                    *arguments,
                )
            )
        yield Cluster(folder, url, api, certificates)


def _server(folder: Path, certificates: Certificates) -> tuple[str, ...]:
    """Options of the API server, without its port and its store."""
    issued = certificates.folder / _AGGREGATOR
    return (
        f"--cert-dir={folder / 'certificates'}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        # By these an API server of another's, which it passes requests on to, knows it.
        f"--requestheader-client-ca-file={certificates.authority}",
        f"--requestheader-allowed-names={_AGGREGATOR}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={issued}.crt",
        f"--proxy-client-key-file={issued}.key",
    )


def _controllers(folder: Path) -> dict[str, tuple[str, ...]]:
    """Options of what works on the API server's objects, by program."""
    return {
        "kube-controller-manager": (
            f"--service-account-private-key-file={folder / 'accounts.key'}",
            "--horizontal-pod-autoscaler-sync-period=1s",
            # A machine that is busy or suspended has not lost its nodes.
            "--node-monitor-grace-period=1h",
        ),
        "kube-scheduler": (),
    }


def _ready(api: httpx.Client) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _kubeconfig(url: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [
            {"name": "it", "cluster": {"server": url, "insecure-skip-tls-verify": True}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "admin"}}],
    }
