"""Options that mean the same in every command: where a run has put what a command needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail
from pipelines.layout import OutputLayout

OUTPUT: Final = Path("build")
_MODEL: Final = "summarizer"

Output = Annotated[Path, typer.Option("--output", help="Output folder of `tallygraph run`.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The run's settings file, for its serving.model_name and registry.uri.",
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model-name",
        help="Name of the model. Default: serving.model_name of --config, or else the name of "
        "--model-dir, or else summarizer.",
    ),
]
ModelDir = Annotated[
    Path | None,
    typer.Option(
        "--model-dir",
        help="Folder that contains the numbered version folders. Default: serving/<model> in "
        "the output folder.",
    ),
]
Registry = Annotated[
    str,
    typer.Option(
        "--registry",
        envvar="TALLYGRAPH_REGISTRY",
        help="sqlite:///FILE or http(s)://HOST. Default: registry.uri of --config, or else "
        "registry.sqlite in the output folder.",
    ),
]


@dataclass(frozen=True)
class Served:
    """A served model: its name, the folder of its versions, and the registry's URI.

    The URI is empty where the registry is the file in the output folder.
    """

    name: str
    folder: Path
    registry: str


def find_served(
    config: Path | None,
    output: Path,
    model_dir: Path | None = None,
    model_name: str = "",
    registry: str = "",
) -> Served:
    """Say which model is meant; settings that cannot be read end the command."""
    if config:
        from pipelines.config import ConfigError, load_config  # takes a part of a second

        try:
            settings = load_config(config, [])
        except ConfigError as error:
            fail(str(error), EXIT_BAD_INPUT)
        model_name = model_name or settings.serving.model_name
        registry = registry or settings.registry.uri
    elif model_dir:
        model_name = model_name or model_dir.resolve().name
    name = model_name or _MODEL
    folder = model_dir or OutputLayout(output, "").served_model_dir(name)
    return Served(name, folder, registry)
