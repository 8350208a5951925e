"""Kubernetes' own API server and controller manager, and etcd, as processes on this machine.

Nodes, a scheduler, networks, images and volumes are not there; `nodes` stands in for the first
two.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scripts.manifests import ROOT, helm_program, packaged_program
from serving.engines.base import HeldPorts
from tests.support.waiting import wait_until

_DEADLINE_S: Final = 120
_MADE: Final = ROOT / ".toolchain/control-plane"
# None of the first three is there to do it: they would take each node for dead.
_CONTROLLERS: Final = (
    "-node-lifecycle-controller,-taint-eviction-controller,-node-ipam-controller,*"
)


@cache
def _why_not() -> str:
    """Why it cannot be built on this machine; empty where it is there."""
    script = ROOT / "scripts/control_plane.sh"
    built = subprocess.run([script], capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if built.returncode == 0 else built.stderr


@dataclass(frozen=True)
class Cluster:
    """A running one, and its administrator.

    Attributes:
      folder: with logs, the configuration of clients, and the API server's certificate.
      api: a client of the API server.
    """

    folder: Path
    url: str
    api: httpx.Client

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificates/apiserver.crt"

    @property
    def certificate_key(self) -> Path:
        return self.folder / "certificates/apiserver.key"

    def kubectl(self, *arguments: str | Path, given: str | None = None) -> str:
        """What kubectl prints, if all is well."""
        done = self._kubectl(arguments, given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *arguments: str | Path, given: str | None = None) -> str:
        """Why the API server refuses something."""
        done = self._kubectl(arguments, given)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def apply(self, document: Any) -> None:
        apply = ("apply", "--server-side", "--validate=strict", "-f", "-")
        self.kubectl(*apply, given=yaml.safe_dump(document))

    def get(self, path: str) -> Any:
        """An object, or a list's."""
        answer = self.api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def helm(self, *arguments: str | Path) -> str:
        """What Helm prints, if all is well."""
        environment = {**os.environ, "HELM_CACHE_HOME": str(self.folder / "helm")}
        command = [helm_program(), *arguments, "--kubeconfig", self.kubeconfig]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def namespace(self, name: str) -> str:
        """A new one, which takes what PodSecurity calls restricted, and nothing else."""
        enforced = {
            f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
        }
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": enforced},
            }
        )
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda: self.api.get(path).status_code == 200, "its service account")
        return name

    def _kubectl(
        self, arguments: Sequence[str | Path], given: str | None
    ) -> subprocess.CompletedProcess[str]:
        kubectl = packaged_program("kubectl", "a kubectl 1.36 or later")
        command = [kubectl, "--kubeconfig", self.kubeconfig, *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@contextmanager
def control_plane(folder: Path) -> Iterator[Cluster]:
    """Start one, and stop it at the end.

    Where it cannot be built, the test that asks for it is skipped, and says why.

    Args:
      folder: for its files; empty.
    """
    if why := _why_not():
        pytest.skip(f"A control plane cannot be had here: {why}")
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n', "utf-8")
    key = folder / "accounts.key"
    key.write_bytes(_private_key())
    with ExitStack() as stack:
        etcd_port, peer_port, port = stack.enter_context(closing(HeldPorts(3))).numbers
        etcd, url = f"http://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{port}"
        stack.enter_context(
            _running(
                folder,
                "etcd",
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
                "--unsafe-no-fsync",
            )
        )
        server = stack.enter_context(
            _running(
                folder,
                "kube-apiserver",
                f"--etcd-servers={etcd}",
                f"--cert-dir={folder / 'certificates'}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none",
                f"--secure-port={port}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={key}",
                f"--service-account-key-file={key}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
            )
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
        (folder / "kubeconfig").write_text(json.dumps(_kubeconfig(url, token)), "utf-8")
        wait_until(lambda: _ready(api), f"the API server, see {folder}", server.poll, 0.2)
        stack.enter_context(
            _running(
                folder,
                "kube-controller-manager",
                f"--kubeconfig={folder / 'kubeconfig'}",
                f"--service-account-private-key-file={key}",
                f"--controllers={_CONTROLLERS}",
                "--horizontal-pod-autoscaler-sync-period=1s",
                "--leader-elect=false",
                "--secure-port=0",
            )
        )
        yield Cluster(folder, url, api)


@contextmanager
def _running(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the control plane; its log is in the folder."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [_MADE / name, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(api: httpx.Client) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _private_key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


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
