"""A running control plane, as its administrator sees it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from scripts.manifests import helm_program, packaged_program
from tests.e2e.control_plane.certificates import Certificates
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Cluster:
    """A running one, and its administrator.

    Attributes:
      folder: with logs, and the configuration of clients.
      api: a client of the API server.
      certificates: whose authority the API server believes what it passes requests on to.
    """

    folder: Path
    url: str
    api: httpx.Client
    certificates: Certificates

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

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
