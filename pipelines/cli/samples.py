"""`tallygraph samples`: what the served model makes of documents that it never trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from pipelines.cli.ask import connect, wait_until_ready
from pipelines.cli.console import EXIT_FAILED, fail, out, quiet_stderr
from pipelines.cli.count_check import LibraryCounts, checked_counts
from pipelines.cli.locations import (
    OUTPUT,
    ConfigFile,
    ModelDir,
    ModelName,
    Output,
    Registry,
    find_served,
)
from pipelines.cli.prices import PLAN, Plan, Prices, quoted
from pipelines.cli.registry_access import find_version, opened_registry
from serving.client import ClientError
from serving.version_folders import version_folder
from tokenizer.contract import MeteredSummary

if TYPE_CHECKING:
    from pipelines.price_quote import PriceQuote
    from pipelines.report.held_out import HeldOut

# Characters of a document that are shown; a book would push its own summary off the screen.
_SHOWN: Final = 600


def samples(
    output: Output = OUTPUT,
    config: ConfigFile = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many documents.")] = 3,
    url: Annotated[
        str, typer.Option(help="REST address of the model server.")
    ] = "http://127.0.0.1:8501",
    grpc: Annotated[
        str,
        typer.Option(
            help="host:port of its gRPC API: compare its answers with those of REST, too."
        ),
    ] = "",
    model_name: ModelName = "",
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for the server to be ready.")
    ] = 0,
    prices: Prices = None,
    plan: Plan = PLAN,
    registry: Registry = "",
    model_dir: ModelDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the served model for summaries of held-out documents of the corpus it was made from.

    Shows each with its reference, its token counts, which are checked against the tokenizer's
    own library, and its price. The documents are those that the run evaluated the model on.
    """
    served = find_served(config, output, model_dir, model_name, registry)
    model = served.name
    quote = quoted(prices, model, plan)
    try:
        with connect(url, "", model) as client:
            wait_until_ready(client, wait)
            version = client.metadata().version
            documents = _held_out(served.registry, output, model, version, count)
            texts = [each.document for each in documents]
            answers = client.summarize(texts)
        if grpc:
            _hold_to_grpc(grpc, model, texts, answers)
    except ClientError as error:
        fail(str(error))
    folder = version_folder(served.folder, version)
    counted = checked_counts(folder, texts, answers, "--model-dir")
    costs = (
        quote.costs_micro((each.input_tokens, each.output_tokens) for each in answers)
        if quote
        else None
    )
    if as_json:
        _print_json(documents, answers, costs, quote)
        return
    _print_tables(documents, answers, costs, quote)
    _print_checks(counted, answers, bool(grpc))
    if quote and costs:
        out.print(
            f"together {quote.money(sum(costs))}, by {quote.price.id} of {prices}, before any "
            "allowance or tier"
        )


def _held_out(
    registry: str, output: Path, model: str, version: int, count: int
) -> list[HeldOut]:
    with quiet_stderr():  # TensorFlow reads the examples, and greets
        from pipelines.report.held_out import HeldOutError, held_out

    with opened_registry(registry, output) as opened:
        registered = find_version(opened, model, str(version))
    try:
        with quiet_stderr():
            return held_out(registered, count)
    except HeldOutError as error:
        fail(str(error))


def _hold_to_grpc(
    address: str, model: str, texts: list[str], answers: list[MeteredSummary]
) -> None:
    with connect("", address, model) as client:
        over_grpc = client.summarize(texts)
    for number, (expected, received) in enumerate(zip(answers, over_grpc, strict=True), 1):
        if received != expected:
            fail(
                f"document {number} is answered otherwise over gRPC. Over REST: {expected}. "
                f"Over gRPC: {received}. Is {address} the same server?",
                EXIT_FAILED,
            )


def _print_tables(
    documents: Sequence[HeldOut],
    answers: Sequence[MeteredSummary],
    costs: Sequence[int] | None,
    quote: PriceQuote | None,
) -> None:
    for number, (document, answer) in enumerate(zip(documents, answers, strict=True)):
        out.print(f"\n[bold]document {number + 1} of {len(documents)}[/]")
        cost = quote.money(costs[number]) if quote and costs else ""
        out.print(_table(document, answer, cost), soft_wrap=False)


def _table(document: HeldOut, answer: MeteredSummary, cost: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=0)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "source": document.source,
        "document": _beginning(document.document),
        "reference": document.reference,
        "summary": answer.summary or "(empty)",
        "tokens": f"{answer.input_tokens} input + {answer.output_tokens} output = "
        f"{answer.total_tokens} total, {answer.truncated_tokens} truncated",
        "finish": answer.finish_reason,
        **({"price": cost} if cost else {}),
    }
    for name, value in rows.items():
        table.add_row("", name, Text(_one_line(value)))
    return table


def _beginning(document: str) -> str:
    if len(document) <= _SHOWN:
        return document
    return f"{document[:_SHOWN]} … ({len(document):,} characters in all)"


def _one_line(text: str) -> str:
    """A text without what a terminal would obey."""
    from pipelines.report.texts import visible

    return visible(" ".join(text.split()))


def _print_checks(
    counted: LibraryCounts, answers: Sequence[MeteredSummary], grpc: bool
) -> None:
    read = sum(answer.input_tokens for answer in answers)
    cut_off = sum(answer.truncated_tokens for answer in answers)
    out.print(
        f"\n[green]counts verified[/]: the library {counted.library} counts "
        f"{' + '.join(map(str, counted.ids))} ids in the documents = {read} input_tokens + "
        f"{cut_off} truncated_tokens"
    )
    if grpc:
        out.print("[green]gRPC[/] gives the same answers and counts as REST")


def _print_json(
    documents: Sequence[HeldOut],
    answers: Sequence[MeteredSummary],
    costs: Sequence[int] | None,
    quote: PriceQuote | None,
) -> None:
    rows: list[dict[str, Any]] = []
    for number, (document, answer) in enumerate(zip(documents, answers, strict=True)):
        row = {**asdict(document), **asdict(answer)}
        if quote and costs:
            row |= {
                "amount_micro": costs[number],
                "currency": quote.currency,
                "price_id": quote.price.id,
            }
        rows.append(row)
    print(json.dumps(rows, indent=2, ensure_ascii=False))
