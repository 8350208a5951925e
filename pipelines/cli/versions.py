"""`tallygraph versions`: which versions are served under which labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out, quiet_stderr
from pipelines.cli.locations import (
    OUTPUT,
    ConfigFile,
    ModelDir,
    ModelName,
    Output,
    Served,
    find_served,
)
from pipelines.cli.serve import GRPC_PORT

if TYPE_CHECKING:
    from serving.model_config import ModelConfigFile
    from serving.rollout import Change, ModelServers, Rollout

app = typer.Typer(
    help="List, label, promote, roll back and delete versions of a served model.",
    no_args_is_help=True,
)

_ModelConfig = Annotated[
    Path | None,
    typer.Option(help="The servers' model config file. Default: next to the model's folder."),
]
_Server = Annotated[
    list[str], typer.Option(help="host:port of a running server's gRPC API; may be repeated.")
]
_Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Change only the model config, because no server is running."
    ),
]
_SERVERS = [f"127.0.0.1:{GRPC_PORT}"]


@app.command("list")
def list_versions(
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
) -> None:
    """List the versions on disk, their labels, and their state on each server."""
    served = find_served(config, output, model_dir, model_name)
    with _opened(served, model_config, server, offline) as (rollout, servers, _):
        from serving.rollout.rollout import versions_in

        labels = rollout.labels()
        states = servers.states(served.name)
        on_disk = versions_in(served.folder)
        table = Table("version", "labels", *states, box=None)
        known = {version for each in states.values() for version in each}
        for version in sorted({*on_disk, *known, *labels.values()}, reverse=True):
            names = [name for name, number in sorted(labels.items()) if number == version]
            missing = "" if version in on_disk else " (not on disk)"
            table.add_row(
                f"{version}{missing}",
                ", ".join(names),
                *(each.get(version, "") for each in states.values()),
            )
        out.print(table)


@app.command()
def label(
    label: Annotated[str, typer.Argument(help="Label, such as canary.")],
    version: Annotated[int, typer.Argument(help="Version that gets the label.")],
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
) -> None:
    """Assign a label to a version, once every server has loaded it."""
    served = find_served(config, output, model_dir, model_name)
    with _opened(served, model_config, server, offline) as (rollout, _, _):
        _say(rollout.label(label, version))


@app.command()
def unlabel(
    label: Annotated[str, typer.Argument(help="Label, such as canary.")],
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
) -> None:
    """Remove a label. A version without any label is unloaded, and stays on disk."""
    served = find_served(config, output, model_dir, model_name)
    with _opened(served, model_config, server, offline) as (rollout, _, _):
        _say(rollout.unlabel(label))


@app.command()
def promote(
    version: Annotated[
        int | None,
        typer.Argument(help="Version to make the stable one; not given: the canary."),
    ] = None,
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
) -> None:
    """Make a version the stable one. The old one stays loaded as 'previous'."""
    served = find_served(config, output, model_dir, model_name)
    with _opened(served, model_config, server, offline) as (rollout, _, _):
        _say(rollout.promote(version))


@app.command()
def rollback(
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
) -> None:
    """Make the previous version the stable one again."""
    served = find_served(config, output, model_dir, model_name)
    with _opened(served, model_config, server, offline) as (rollout, _, _):
        _say(rollout.roll_back())


@app.command()
def prune(
    keep: Annotated[
        int, typer.Option(min=1, help="Number of versions without a label to keep.")
    ] = 3,
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: _ModelConfig = None,
) -> None:
    """Delete old versions from disk, but never one with a label."""
    served = find_served(config, output, model_dir, model_name)
    with _opened(served, model_config, [], True) as (_, _, file):
        from serving import rollout

        deleted = rollout.prune(file, served.name, served.folder, keep)
        out.print(f"deleted: {', '.join(map(str, deleted)) or 'nothing'}")


@contextlib.contextmanager
def _opened(
    served: Served,
    model_config: Path | None,
    server: list[str],
    offline: bool,
) -> Iterator[tuple[Rollout, ModelServers, ModelConfigFile]]:
    """What a command works with; problems end the command with an error message."""
    with quiet_stderr():  # TensorFlow's greetings, which its protos bring with them
        from serving.engines import default_model_config
        from serving.model_config import ModelConfigError, ModelConfigFile
        from serving.rollout import (
            LabelError,
            ModelServers,
            Rollout,
            RolloutError,
            ServerError,
        )

    file = ModelConfigFile(model_config or default_model_config(served.folder))
    try:
        if not file.path.exists() and served.folder.is_dir():
            with file.locked():
                file.add_model(served.name, served.folder)
        with ModelServers([] if offline else server) as servers:
            yield Rollout(file, served.name, servers), servers, file
    except (LabelError, ModelConfigError) as error:
        fail(str(error), EXIT_BAD_INPUT)
    except ServerError as error:
        fail(f"{error} Use --offline if no server is running.")
    except RolloutError as error:
        fail(str(error))


def _say(change: Change) -> None:
    for name in sorted({*change.before, *change.after}):
        before, after = change.before.get(name), change.after.get(name)
        if before != after:
            out.print(f"{name}: {before or 'none'} -> [bold]{after or 'none'}[/]")
