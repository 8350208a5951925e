"""Opens the model registry and the served model for the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.console import EXIT_BAD_INPUT, fail, quiet_stderr
from pipelines.cli.locations import Served
from pipelines.layout import OutputLayout

if TYPE_CHECKING:
    from components.model_registry.port import ModelRegistry, RegisteredVersion
    from components.promoter.served import ServedModel


@contextlib.contextmanager
def opened_registry(registry: str, output: Path) -> Iterator[ModelRegistry]:
    """Open the registry; problems end the command with an error message."""
    from components.model_registry import RegistryError, open_registry
    from components.promoter.promotion import PromotionRefusedError

    file = OutputLayout(output.resolve(), "").registry_file
    if not registry and not file.is_file():
        fail(
            f"{file} does not exist. `tallygraph run` creates it; use --output or "
            "--registry for another location.",
            EXIT_BAD_INPUT,
        )
    try:
        yield open_registry(registry or f"sqlite:///{file}")
    except PromotionRefusedError as error:
        fail(str(error), EXIT_BAD_INPUT)
    except RegistryError as error:
        fail(str(error))


@contextlib.contextmanager
def served_model(
    model: Served,
    model_config: Path | None,
    server: list[str],
    offline: bool,
) -> Iterator[ServedModel]:
    """Open a served model; problems end the command with an error message."""
    with quiet_stderr():  # TensorFlow comes with the servers' protos
        from components.promoter.served import ServedModel
        from components.pusher.publish import PushError
        from serving.engines import default_model_config
        from serving.model_config import ModelConfigError, ModelConfigFile
        from serving.rollout import LabelError, ModelServers, RolloutError, ServerError

    config = ModelConfigFile(model_config or default_model_config(model.folder))
    try:
        with ModelServers([] if offline else server) as servers:
            yield ServedModel(model.name, model.folder.resolve(), config, servers)
    except (LabelError, ModelConfigError) as error:
        fail(str(error), EXIT_BAD_INPUT)
    except ServerError as error:
        fail(f"{error} Use --offline if no server is running.")
    except (PushError, RolloutError) as error:
        fail(str(error))


def find_version(registry: ModelRegistry, name: str, asked: str) -> RegisteredVersion:
    """Find a version by its number, by the number of its pushed version, or by an alias."""
    from components.model_registry.pushed import pushed_versions

    versions = registry.versions(name)
    named = [v for v in versions if asked == str(v.number) or asked in v.aliases]
    named += [v for v in versions if asked in map(str, pushed_versions(v))]
    if not named:
        known = ", ".join(str(version.number) for version in versions) or "none"
        fail(f"{name} has no version {asked}. The registry has: {known}.", EXIT_BAD_INPUT)
    return named[0]
