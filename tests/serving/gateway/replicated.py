"""Two real servers of a model, for tests of which of them is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.engines import RunningServer, ServerSpec
from serving.gateway.backends import ServedModel
from tests.support.running_gateway import DEADLINE_S
from tests.support.warm_model_server import WarmEngine

SCHEMES = pytest.mark.parametrize("scheme", ["http", "grpc"])
TEXT: dict[str, list[Any]] = {"text": ["a b"], "max_output_tokens": [0]}
CONFIG = """
model_config_list {
  config {
    name: "summarizer"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { %s } }
    %s
  }
}
"""


@dataclass
class Replicated:
    """Two servers of a model's versions 7 and 8: ``old`` has 7 only, ``both`` has both."""

    models: Path
    configs: dict[str, Path]
    servers: dict[str, RunningServer]

    def configure(self, name: str, **labels: int) -> None:
        """Tell a server which versions to have, by their labels; it reads that in a second."""
        versions = " ".join(f"versions: {number}" for number in sorted({*labels.values()}))
        entries = " ".join(
            f'version_labels {{ key: "{label}" value: {number} }}'
            for label, number in labels.items()
        )
        whole = self.configs[name].with_suffix(".new")
        whole.write_text(CONFIG % (self.models, versions, entries))
        whole.rename(self.configs[name])

    def urls(self, scheme: str, *names: str) -> list[str]:
        chosen = [self.servers[name] for name in names]
        if scheme == "http":
            return [server.rest_url for server in chosen]
        return [f"grpc://{server.grpc_address}" for server in chosen]


@contextmanager
def replicated_servers(folder: Path, metered_models: Path) -> Iterator[Replicated]:
    """Both of them, running.

    Args:
      folder: for their versions and configurations.
      metered_models: folder of a model whose only version is 7.
    """
    models = folder / "models"
    models.mkdir()
    # The same model twice: the request says which version is meant, the answer does not.
    for number in ("7", "8"):
        (models / number).symlink_to(metered_models / "7")
    replicated = Replicated(models, {n: folder / f"{n}.config" for n in ("old", "both")}, {})
    flags = {
        "allow_version_labels_for_unavailable_models": "true",
        "model_config_file_poll_wait_seconds": "1",
    }
    with ExitStack() as running:
        replicated.configure("old", stable=7)
        replicated.configure("both", stable=7, canary=8)
        for name, config in replicated.configs.items():
            spec = ServerSpec.from_config(("summarizer",), config, flags)
            replicated.servers[name] = running.enter_context(WarmEngine().start(spec))
        for server in replicated.servers.values():
            server.wait_until_available(120)
        yield replicated


def using(model: ServedModel, ask: Callable[[], Awaitable[None]]) -> None:
    """Work with a model in a loop of its own, and close it."""

    async def run() -> None:
        try:
            await ask()
        finally:
            await model.close()

    asyncio.run(run())


def soon() -> float:
    return time.monotonic() + DEADLINE_S


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
