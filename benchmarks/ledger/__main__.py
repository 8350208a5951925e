"""Measures a large ledger; writes docs/benchmarks/ledger.{md,json}."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from benchmarks import markdown
from benchmarks.command import add_docs_option, write_page, write_results
from benchmarks.environment import Machine, machine
from benchmarks.ledger.filling import LARGE, add_entries, add_tenants, ask_once
from serving.gateway.administration import list_tenants
from serving.ledger import Ledger, schema
from serving.ledger.clock import utc_now
from serving.ledger.database import reading
from serving.ledger.opening import open_ledger
from serving.ledger.verification import verify

BUILD: Final = Path("build/benchmarks/ledger")
_CALLS: Final = 500


@dataclass(frozen=True)
class Figures:
    """What was measured of a ledger.

    Attributes:
      usage_ms, usage_p99_ms: of a call of what a month of the large tenant has used, from sums.
      adding_up_ms: the same from its entries, as it would be without sums.
      page_ms: of a page of 100 tenants.
      request_ms: of a reservation and its charge, one after the other, on the disk.
      filled_per_s: charges, many in a transaction.
      verify_cpu_s: processor time of checking everything.
      bytes_per_entry: of the file.
    """

    tenants: int
    entries: int
    usage_ms: float
    usage_p99_ms: float
    adding_up_ms: float
    page_ms: float
    request_ms: float
    filled_per_s: float
    verify_cpu_s: float
    bytes_per_entry: float


def main() -> None:
    arguments = _arguments()
    measured_on = machine()
    figures = _measure(arguments.tenants, arguments.entries)
    write_results(
        arguments.output / "ledger.json",
        {"machine": measured_on.to_json(), "figures": asdict(figures)},
    )
    write_page(arguments.output / "ledger.md", _page(figures, measured_on), "ledger.json")


def _measure(tenants: int, entries: int) -> Figures:
    BUILD.mkdir(parents=True, exist_ok=True)
    file = BUILD / "ledger.sqlite"
    for each in BUILD.glob("ledger.sqlite*"):
        each.unlink()
    engine = open_ledger(f"sqlite:///{file}", create=True)
    names = add_tenants(engine, tenants)
    began = time.monotonic()
    add_entries(engine, names, entries, lambda done: _tell(done, entries))
    filled_s = time.monotonic() - began
    ledger, month = Ledger(engine, "benchmark"), f"{utc_now():%Y-%m}"
    usage = _times(lambda: ledger.usage(LARGE, month), _CALLS)
    page = _times(lambda: list_tenants(engine, month, names[len(names) // 2], 100), 50)
    numbers = iter(range(_CALLS))
    asking = _times(lambda: ask_once(ledger, f"alone-{next(numbers)}"), 200)
    adding_up = _times(lambda: _add_up(engine, month), 3)
    began = time.process_time()
    checked, findings = verify(engine)
    verify_s = time.process_time() - began
    if findings:
        raise SystemExit(f"The ledger is not as it must be: {findings[:3]}")
    engine.dispose()
    return Figures(
        tenants=tenants,
        entries=checked,
        usage_ms=statistics.median(usage),
        usage_p99_ms=sorted(usage)[int(0.99 * len(usage))],
        adding_up_ms=statistics.median(adding_up),
        page_ms=statistics.median(page),
        request_ms=statistics.median(asking),
        filled_per_s=entries / filled_s,
        verify_cpu_s=verify_s,
        bytes_per_entry=file.stat().st_size / checked,
    )


def _add_up(engine: sa.Engine, month: str) -> None:
    entries = schema.entries.c
    columns = (entries.input_tokens, entries.output_tokens, entries.amount_micro)
    with reading(engine) as connection:
        connection.execute(
            sa.select(sa.func.count(), *map(sa.func.sum, columns))
            .join(schema.requests, schema.requests.c.request_id == entries.request_id)
            .where(entries.tenant == LARGE, schema.requests.c.month == month)
        ).one()


def _times(do: Callable[[], object], count: int) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        do()
        times.append(1000 * (time.perf_counter() - began))
    return times


def _tell(done: int, entries: int) -> None:
    if done % 100_000 == 0 or done == entries:
        print(f"{done:,} of {entries:,} charges", flush=True)


def _page(figures: Figures, measured_on: Machine) -> str:
    rows = [
        ("what a month of the large tenant has used, median", f"{figures.usage_ms:.2f} ms"),
        ("the same, 99th percentile", f"{figures.usage_p99_ms:.2f} ms"),
        ("the same by adding up its entries", f"{figures.adding_up_ms:,.0f} ms"),
        ("a page of 100 tenants", f"{figures.page_ms:.1f} ms"),
        ("a reservation and its charge, alone", f"{figures.request_ms:.1f} ms"),
        ("charges in large transactions", f"{figures.filled_per_s:,.0f} a second"),
        ("`ledger verify`, processor time", f"{figures.verify_cpu_s:.1f} s"),
        ("the file, for each entry", f"{figures.bytes_per_entry:,.0f} bytes"),
    ]
    return (
        markdown.head("A large ledger", "make bench-ledger")
        + ". An SQLite ledger is filled by its own operations: "
        f"{figures.entries:,} charges of {figures.tenants:,} tenants in this month, half of "
        "them of one tenant, the others in turn. Then it is asked what an API and a command "
        "ask of it. `GET /v1/usage` and `tallygraph tenants list` read sums that are kept with "
        "each charge, so their time does not depend on how many charges there are. `ledger "
        "verify` reads everything.\n\n"
        + markdown.table(("what", "takes"), rows)
        + f"\n{measured_on}. SQLAlchemy {sa.__version__}.\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--tenants", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    add_docs_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
