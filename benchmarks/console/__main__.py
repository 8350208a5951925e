"""Measures the console's pages on a large ledger; writes docs/benchmarks/console.{md,json}."""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import sqlalchemy as sa

from benchmarks import markdown
from benchmarks.command import DOCS, write_page, write_results
from benchmarks.environment import Machine, machine
from benchmarks.ledger.filling import LARGE, add_entries, add_tenants
from serving.billing.price_book_file import PriceBookFile
from serving.gateway.admin.access import Admin
from serving.gateway.admin.tokens import AdminTokens
from serving.gateway.backends import ServedModel
from serving.gateway.console.routes import console_routes
from serving.gateway.http.app import create_private_app
from serving.gateway.ops.metrics import Metrics
from serving.gateway.rates import Rates
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
_TIMES: Final = 30
PAGES: Final = (
    ("overview, its sums read", "", True),
    ("overview, its sums known", "", False),
    ("50 tenants", "/tenants", False),
    ("50 tenants, from the middle on", "/tenants?after=tenant-000500", False),
    ("the large tenant", f"/tenants/{LARGE}", False),
    ("50 lines of its ledger", f"/tenants/{LARGE}/entries", False),
    ("50 lines from its middle", f"/tenants/{LARGE}/entries?before=250000", False),
    ("models", "/models", False),
    ("ledger", "/ledger", False),
    ("audit log", "/audit-log", False),
)


@dataclass(frozen=True)
class Figure:
    """How long a page takes, in ms.

    Attributes:
      longest_ms: of `_TIMES` requests.
    """

    page: str
    median_ms: float
    longest_ms: float


def main() -> None:
    arguments = _arguments()
    measured_on = machine()
    engine = _ledger(arguments.ledger, arguments.tenants, arguments.entries)
    chains = schema.chains.c
    with engine.connect() as connection:
        tenants, entries = connection.execute(
            sa.select(sa.func.count(), sa.func.sum(chains.number))
        ).one()
        sums = connection.execute(
            sa.select(sa.func.count()).select_from(schema.daily_usage)
        ).scalar_one()
    figures = asyncio.run(_measure(engine))
    engine.dispose()
    sizes = {"tenants": tenants, "entries": int(entries), "sums_by_day": sums}
    write_results(
        arguments.output / "console.json",
        {
            "machine": measured_on.to_json(),
            **sizes,
            "figures": [asdict(each) for each in figures],
        },
    )
    page = _page(figures, sizes, measured_on)
    write_page(arguments.output / "console.md", page, "console.json")


def _ledger(file: Path | None, tenants: int, entries: int) -> sa.Engine:
    """The ledger that is measured: a file that is there, or a new one."""
    if file is not None:
        return open_ledger(f"sqlite:///{file}")
    BUILD.mkdir(parents=True, exist_ok=True)
    for each in BUILD.glob("ledger.sqlite*"):
        each.unlink()
    engine = open_ledger(f"sqlite:///{BUILD / 'ledger.sqlite'}", create=True)
    names = add_tenants(engine, tenants)
    add_entries(engine, names, entries, lambda done: _tell(done, entries))
    _add_days(engine, names)
    return engine


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
        figures = []
        for name, path, afresh in PAGES:
            times = []
            for _ in range(_TIMES):
                if afresh:
                    async with console() as other:
                        other.cookies.update(client.cookies)
                        times.append(await _time_ms(other, path))
                else:
                    times.append(await _time_ms(client, path))
            figures.append(Figure(name, statistics.median(times), max(times)))
    await gateway.on_close()
    return figures


async def _time_ms(client: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await client.get(f"/console{path}")
    took_ms = 1000 * (time.perf_counter() - began)
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
    return took_ms


def _tell(done: int, entries: int) -> None:
    if done % 100_000 == 0 or done == entries:
        print(f"{done:,} of {entries:,} charges", flush=True)


def _page(figures: Sequence[Figure], sizes: dict[str, int], measured_on: Machine) -> str:
    rows = [
        (each.page, f"{each.median_ms:.1f} ms", f"{each.longest_ms:.1f} ms") for each in figures
    ]
    return (
        "# The console on a large ledger\n\n"
        f"Made by `make bench-console`. Pages of the [console](../console.md), made {_TIMES} "
        f"times each by its application in one process, on an SQLite ledger of "
        f"{sizes['tenants']:,} tenants with {sizes['entries']:,} entries, half of them of one "
        f"tenant, and {sizes['sums_by_day']:,} sums by day. No network is between.\n\n"
        + markdown.table(("page", "median", "longest"), rows)
        + f"\n{measured_on}. SQLAlchemy {sa.__version__}.\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--ledger", type=Path, help="a file to measure; default: a new one")
    parser.add_argument("--output", type=Path, default=DOCS, help=f"folder; default: {DOCS}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
