"""Measures the gateway against LiteLLM's proxy; writes docs/benchmarks/gateway.{md,json}."""

from __future__ import annotations

import argparse
import tempfile
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from benchmarks.command import (
    add_output_options,
    end_by_exception,
    output_folder,
    write_page,
)
from benchmarks.gateway import litellm_proxy
from benchmarks.gateway.measuring import measure
from benchmarks.gateway.page import render
from benchmarks.gateway.results import Point, Results
from benchmarks.peers import GATEWAYS

POINTS = (Point(1, 0), Point(4, 0), Point(1, 5), Point(32, 0), Point(32, 5))
QUICK_POINTS = (Point(1, 0), Point(32, 0))
ROUNDS, QUICK_ROUNDS = 3, 2
BUILD = Path("build/benchmarks/gateway")


def main() -> None:
    arguments = _arguments()
    end_by_exception()
    output = output_folder(arguments, BUILD)
    kept = output / "gateway.json"
    try:
        results = Results.load(kept) if arguments.render else _measure(arguments)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    results.save(kept)
    page = render(results, command="make bench-gateway")
    write_page(output / "gateway.md", page, "gateway.json")


def _measure(arguments: argparse.Namespace) -> Results:
    peers = None if arguments.no_peers else arguments.peers
    packages = ("starlette", "uvicorn", "sqlalchemy", "psycopg")
    versions = f"Tallygraph {version('tallygraph')} on Python {python_version()} ("
    versions += ", ".join(f"{name} {version(name)}" for name in packages) + ")"
    if peers is not None:
        versions += f"; LiteLLM {litellm_proxy.version(peers)}"
    BUILD.mkdir(parents=True, exist_ok=True)
    # Not in /tmp, which may be memory: commits are to wait for a disk.
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        return measure(
            QUICK_POINTS if arguments.quick else POINTS,
            rounds=arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS),
            seconds=arguments.seconds,
            directory=Path(directory).absolute(),
            logs=BUILD / "logs",
            peers=peers,
            versions=versions,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    GATEWAYS.add_option(parser)
    parser.add_argument("--no-peers", action="store_true", help="leave LiteLLM out")
    parser.add_argument("--rounds", type=int, help="turns of each way to ask at a point")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn")
    add_output_options(parser, BUILD, quick="two points", render="the page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
