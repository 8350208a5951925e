"""`tallygraph demo-gateway`: from a pushed model to an invoice, in one command."""

from __future__ import annotations

import contextlib
import datetime
import json
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from pipelines.cli import ledger as ledger_command
from pipelines.cli.bill_invoice import invoice
from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from serving.version_folders import complete_versions

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pipelines.gateway_process import GatewayProcess

_TENANT = "demo"
_PLAN = "standard"
_TEXT = (
    "The file is opened lazily, when the first record is read from it, and closed again when "
    "the reader is exhausted or garbage collected. Records are decoded one after another."
)
_PRICES = """\
currency = "EUR"

[[prices]]
id = "demo"
valid_from = {day}
model = "{model}"
plan = "{plan}"
price_micro_per_1k_input_tokens = 400
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 1600
"""


def demo_gateway(
    model_dir: Annotated[
        Path, typer.Option(help="Folder that contains the numbered version folders.")
    ] = Path("build/serving/summarizer"),
    text: Annotated[str, typer.Option(help="The document to summarise.")] = _TEXT,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep the ledger, prices and logs in; if not given, they are "
            "deleted at the end."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Model server: auto, local, binary or docker.")
    ] = "auto",
    timeout_s: Annotated[
        int, typer.Option(help="Longest wait for each server, in seconds.")
    ] = 300,
) -> None:
    """Sell one summary: start the servers, create a tenant, send a request, show its ledger
    entry and invoice."""
    if not complete_versions(model_dir):
        fail(
            f"{model_dir} contains no version. Expected: folders whose names are numbers. "
            "`make demo` trains and pushes a small model in minutes; use --model-dir for "
            "another folder.",
            EXIT_BAD_INPUT,
        )
    # A service manager stops by SIGTERM: end the servers then too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with contextlib.ExitStack() as stack:
            if folder is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            _demonstrate(folder, model_dir, text, engine, timeout_s)
    except KeyboardInterrupt:
        out.print("stopped")


def _demonstrate(folder: Path, model_dir: Path, text: str, engine: str, timeout_s: int) -> None:
    from pipelines.gateway_process import GatewayProcessError
    from serving.engines import EngineError, ServerSpec, choose_engine
    from serving.ledger.database import open_database
    from serving.ledger.entries import Selection, select_entries
    from serving.ledger.upgrade import upgrade

    model = model_dir.resolve().name
    database = f"sqlite:///{quote(str(folder.resolve()))}/ledger.sqlite"
    spec = ServerSpec.single(model, model_dir, log_file=folder / "model-server.log")
    try:
        _step("1/6  model server")
        chosen = choose_engine(engine)
        out.print(f"engine {chosen.name}: {chosen.description}")
        with chosen.start(spec) as server:
            server.wait_until_available(timeout_s)
            out.print(f"[green]AVAILABLE[/] {server.rest_url}/v1/models/{model}")

            _step("2/6  a tenant and its key")
            ledger = open_database(database)
            upgrade(ledger)
            key = _tenants_key(ledger)

            _step("3/6  gateway")
            with _gateway(folder, model_dir, server.rest_url, database) as gateway:
                gateway.wait_until(timeout_s=timeout_s)
                out.print(f"OpenAI's API on {gateway.url}/v1")

                _step("4/6  one request in OpenAI's format")
                _ask(gateway.url, key, model, text)
    except (EngineError, GatewayProcessError) as error:
        fail(str(error))

    _step("5/6  the request's entry in the ledger, and a check of the ledger")
    (entry,) = select_entries(ledger, Selection(_TENANT, limit=1))
    ledger.dispose()
    ledger_command.show(_TENANT, entry.number, database)
    ledger_command.verify(tenant="", database=database)

    _step("6/6  the invoice")
    invoice(tenant=_TENANT, month=entry.month, format="json", database=database)
    print()  # an invoice ends with its last byte


def _step(title: str) -> None:
    out.print(f"\n[bold]== {title}[/]")


def _tenants_key(ledger: sa.Engine) -> str:
    from serving.gateway.administration import Administrator, create_tenant, make_key
    from serving.gateway.tenants import TenantExistsError

    demo = Administrator(ledger, "demo-gateway")
    # A folder of an earlier demo has the tenant already.
    with contextlib.suppress(TenantExistsError):
        create_tenant(demo, _TENANT, _PLAN)
    key = make_key(demo, _TENANT).key
    prefix, key_id, _ = key.split("_", 2)
    out.print(f"tenant {_TENANT}, key {prefix}_{key_id}_…")
    return key


def _gateway(folder: Path, model_dir: Path, model_url: str, database: str) -> GatewayProcess:
    """The gateway, with a price book in the folder."""
    from pipelines.gateway_process import GatewayProcess

    prices = folder / "prices.toml"
    day = datetime.datetime.now(datetime.UTC).date()
    if not prices.exists():
        model = model_dir.resolve().name
        prices.write_text(_PRICES.format(day=day, model=model, plan=_PLAN), encoding="utf-8")
    log = folder / "gateway.log"
    return GatewayProcess(prices, model_dir, [model_url], log, database=database)


def _ask(url: str, key: str, model: str, text: str) -> None:
    import httpx

    out.print(f"POST {url}/v1/chat/completions")
    try:
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={"model": model, "messages": [{"role": "user", "content": text}]},
            timeout=120,
            trust_env=False,
        )
        document = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        fail(f"The gateway did not respond: {type(error).__name__}: {error}")
    if not answer.is_success:
        fail(
            f"The gateway rejected the request: HTTP {answer.status_code}: "
            f"{document['error']['message']}"
        )
    shown = {
        "content": document["choices"][0]["message"]["content"],
        "finish_reason": document["choices"][0]["finish_reason"],
        "usage": document["usage"],
    }
    print(json.dumps(shown, indent=2, ensure_ascii=False))


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt
