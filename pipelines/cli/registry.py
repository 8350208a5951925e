"""`tallygraph registry`: the registered versions, which one is the champion, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.cli.console import out
from pipelines.cli.locations import (
    OUTPUT,
    ConfigFile,
    ModelDir,
    ModelName,
    Output,
    Registry,
    find_served,
)
from pipelines.cli.registry_access import find_version, opened_registry, served_model
from pipelines.cli.serve import GRPC_PORT

if TYPE_CHECKING:
    from components.model_registry.port import RegisteredVersion

app = typer.Typer(
    help="List, compare, promote, roll back and trace the versions of the model registry.",
    no_args_is_help=True,
)

_Version = Annotated[
    str,
    typer.Argument(
        help="Number in the registry, number of the pushed version, or an alias: champion, "
        "challenger, previous."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ModelConfig = Annotated[
    Path | None,
    typer.Option(help="The servers' model config file. Default: next to the model's folder."),
]
_Server = Annotated[
    list[str],
    typer.Option(
        help="host:port of a running server's gRPC API; may be repeated. Used only if the "
        "model config has labels; without labels a server finds the newest version by "
        "itself."
    ),
]
_Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Change only the model config, because no server is running."
    ),
]
_SERVERS = [f"127.0.0.1:{GRPC_PORT}"]
_METRIC = "rouge_l_f1"


@app.command("list")
def list_versions(
    output: Output = OUTPUT,
    config: ConfigFile = None,
    registry: Registry = "",
    model_name: ModelName = "",
    as_json: _Json = False,
) -> None:
    """List the versions, newest first."""
    from components.model_registry.pushed import pushed_versions
    from components.promoter.promotion import DECISION_TAG
    from components.promoter.rules import FINGERPRINT_TAG

    model = find_served(config, output, None, model_name, registry)
    with opened_registry(model.registry, output) as opened:
        versions = opened.versions(model.name)
        if as_json:
            _print_json([_as_dict(version) for version in versions])
            return
        table = Table(
            "version", "aliases", _METRIC, "decision", "pushed", "spans", "tokenizer", box=None
        )
        for version in versions:
            metric = version.metrics.get(_METRIC)
            table.add_row(
                str(version.number),
                ", ".join(sorted(version.aliases)),
                "" if metric is None else f"{metric:.4f}",
                version.tags.get(DECISION_TAG, ""),
                " ".join(map(str, pushed_versions(version))),
                version.tags.get("spans", ""),
                version.tags.get(FINGERPRINT_TAG, "")[:12],
            )
        out.print(table)


@app.command()
def show(
    version: _Version,
    output: Output = OUTPUT,
    config: ConfigFile = None,
    registry: Registry = "",
    model_name: ModelName = "",
    as_json: _Json = False,
) -> None:
    """Show everything that is registered about a version."""
    model = find_served(config, output, None, model_name, registry)
    with opened_registry(model.registry, output) as opened:
        found = find_version(opened, model.name, version)
        if as_json:
            _print_json(_as_dict(found))
            return
        _print_head(found)
        for name, value in sorted(found.tags.items()):
            out.print(f"{name}: {value}", markup=False)
        for metric, number in sorted(found.metrics.items()):
            out.print(f"{metric} = {number:.6g}", markup=False)


@app.command()
def lineage(
    version: _Version,
    output: Output = OUTPUT,
    config: ConfigFile = None,
    registry: Registry = "",
    model_name: ModelName = "",
    as_json: _Json = False,
) -> None:
    """Show where a version comes from: its run, spans, code, tokenizer, and the artifacts it
    was made from."""
    from pipelines.report.version_lineage import version_lineage

    model = find_served(config, output, None, model_name, registry)
    with opened_registry(model.registry, output) as opened:
        found = find_version(opened, model.name, version)
        traced = version_lineage(found)
        if as_json:
            _print_json(asdict(traced))
            return
        _print_head(found)
        for name, value in traced.facts.items():
            out.print(f"{name}: {value or 'none'}", markup=False)
        for item in traced.made_of:
            out.print(f"{item.title}: {item.uri}\n    {item.made_by}", markup=False)
        if traced.missing:
            out.print(traced.missing, markup=False)


@app.command()
def promote(
    version: _Version,
    output: Output = OUTPUT,
    config: ConfigFile = None,
    registry: Registry = "",
    model_name: ModelName = "",
    model_dir: ModelDir = None,
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
    allow_tokenizer: Annotated[
        str,
        typer.Option(
            help="Fingerprint of a tokenizer that may replace the champion's, or 'any'."
        ),
    ] = "",
    allow_contract: Annotated[
        str,
        typer.Option(
            help="Version of a counting contract that may replace the champion's, or 'any'."
        ),
    ] = "",
) -> None:
    """Make a version the champion, and serve it. The old champion becomes the previous
    version."""
    from components.promoter import promotion
    from components.promoter.rules import Rules

    model = find_served(config, output, model_dir, model_name, registry)
    rules = Rules(_METRIC, allow_tokenizer=allow_tokenizer, allow_contract=allow_contract)
    with (
        opened_registry(model.registry, output) as opened,
        served_model(model, model_config, server, offline) as served,
    ):
        number = find_version(opened, model.name, version).number
        pushed = []
        before = promotion.aliases_of(opened, model.name)
        promotion.promote(
            opened,
            model.name,
            number,
            rules,
            lambda found: pushed.append(served.serve(opened, found)),
        )
        _say(before, promotion.aliases_of(opened, model.name))
        out.print(f"served: {served.folder / str(pushed[0])}", markup=False)


@app.command()
def rollback(
    output: Output = OUTPUT,
    config: ConfigFile = None,
    registry: Registry = "",
    model_name: ModelName = "",
    model_dir: ModelDir = None,
    model_config: _ModelConfig = None,
    server: _Server = _SERVERS,
    offline: _Offline = False,
) -> None:
    """Make the previous version the champion again, in the registry and where it is served."""
    from components.promoter import promotion

    model = find_served(config, output, model_dir, model_name, registry)
    with (
        opened_registry(model.registry, output) as opened,
        served_model(model, model_config, server, offline) as served,
    ):
        pushed = []
        before = promotion.aliases_of(opened, model.name)
        promotion.roll_back(
            opened, model.name, lambda found: pushed.append(served.serve(opened, found))
        )
        _say(before, promotion.aliases_of(opened, model.name))
        out.print(f"served: {served.folder / str(pushed[0])}", markup=False)


def _print_head(version: RegisteredVersion) -> None:
    from components.model_registry.pushed import pushed_versions

    pushed = " ".join(map(str, pushed_versions(version)))
    out.print(
        f"[bold]{version.name} {version.number}[/] "
        f"({', '.join(sorted(version.aliases)) or 'no alias'}), pushed as {pushed or 'nothing'}"
    )
    out.print(f"model: {version.uri}", markup=False)


def _as_dict(version: RegisteredVersion) -> dict[str, object]:
    return {**asdict(version), "aliases": sorted(version.aliases)}


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, sort_keys=True, default=dict))


def _say(before: dict[str, int], after: dict[str, int]) -> None:
    for alias in sorted({*before, *after}):
        if before.get(alias) != after.get(alias):
            now = after.get(alias) or "none"
            out.print(f"{alias}: {before.get(alias) or 'none'} -> [bold]{now}[/]")
    if before == after:
        out.print("the registry was not changed")
