"""Formats an invoice as text, JSON, CSV or a page; the same invoice gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.billing.invoice import micro
from serving.billing.invoice_document import InvoiceDocument
from serving.billing.invoice_view import HEADINGS, view_of

_TEXT_COLUMNS: Final = 110
CSV_HEADINGS: Final = (
    "row",
    "invoice",
    "tenant",
    "month",
    "currency",
    "price",
    "model",
    "kind",
    "usage month",
    "tokens of",
    "tier",
    "price of 1,000",
    "requests",
    "tokens",
    "exact amount",
    "amount",
)

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ view.title }} {{ number or month }}</title>
<style>
body { font: 11pt/1.5 sans-serif; max-width: 60em; margin: 3em auto; padding: 0 1em }
.parties { display: flex; gap: 4em }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3em .6em; border-bottom: 1px solid #ccc; text-align: right }
th:nth-child(-n+2), td:nth-child(-n+2), dt { text-align: left }
tfoot td { font-weight: bold } tfoot td:first-child { text-align: right }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 1em } dd { margin: 0 }
.draft { border: 2px solid #c33; padding: .3em .6em }
footer { color: #555; font-size: 9pt; overflow-wrap: anywhere }
</style>
</head>
<body>
<h1>{{ view.title }}</h1>
{%- if view.draft %}
<p class="draft">This is a draft: {{ view.draft }}.</p>
{%- endif %}
<div class="parties">
{%- for label, lines in (("From", view.seller), ("To", view.buyer)) if lines %}
<p>{{ label }}<br>{% for line in lines %}<span dir="auto">{{ line }}</span><br>{% endfor %}</p>
{%- endfor %}
</div>
<dl>
{%- for label, value in view.facts %}
<dt>{{ label }}</dt><dd>{{ value }}</dd>
{%- endfor %}
</dl>
<table>
<thead><tr>{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in view.rows %}
<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
<tfoot>
{%- for label, amount in view.totals %}
<tr><td colspan="{{ headings | length - 1 }}">{{ label }}</td><td>{{ amount }}</td></tr>
{%- endfor %}
</tfoot>
</table>
{%- for line in view.payment + view.notes %}
<p dir="auto">{{ line }}</p>
{%- endfor %}
<footer><p>{{ view.origin }}</p></footer>
</body>
</html>
"""


def as_text(document: InvoiceDocument) -> str:
    """Return lines for a terminal or an e-mail."""
    view = view_of(document)
    table = Table(box=None, pad_edge=False)
    for position, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if position < 2 else "right")
    for row in view.rows:
        table.add_row(*(Text(value) for value in row))
    file = io.StringIO()
    console = Console(
        file=file,
        width=_TEXT_COLUMNS,
        color_system=None,
        markup=False,
        emoji=False,
        highlight=False,
    )
    console.print(view.title)
    if view.draft:
        console.print(f"This is a draft: {view.draft}.")
    for label, lines in (("From", view.seller), ("To", view.buyer)):
        if lines:
            console.print(f"\n{label}")
        for line in lines:
            console.print(f"  {line}")
    console.print()
    for label, value in view.facts:
        console.print(f"{label:16}{value}")
    console.print()
    console.print(table)
    console.print()
    for label, amount in view.totals:
        console.print(Text(f"{label}  {amount:>16}"), justify="right")
    for line in (*view.payment, *view.notes):
        console.print(line)
    console.print(f"\n{view.origin}")
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def as_json(document: InvoiceDocument) -> str:
    """Return all fields as JSON.

    Amounts that end in ``_micro`` are in millionths of the currency's unit, those that end in
    ``_minor`` in its smallest unit, of which ``decimals`` says the position of the point.
    """
    values: dict[str, Any] = asdict(document.usage)
    for line, amount in zip(values["lines"], document.line_amounts_minor, strict=True):
        line["amount_minor"] = amount
    values |= {
        "draft": document.draft,
        "number": document.number,
        "issued": document.issued,
        "due": document.due,
        "first_day": document.first_day,
        "last_day": document.last_day,
        "seller": document.seller and document.seller.model_dump(),
        "buyer": document.buyer.model_dump(exclude={"taxes", "notes"}),
        "decimals": document.decimals,
        "net_minor": document.net_minor,
        "taxes": [asdict(tax) for tax in document.taxes],
        "gross_minor": document.gross_minor,
        "payable": document.payable,
        "notes": document.notes,
    }
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n"


def as_csv(document: InvoiceDocument) -> str:
    """Return CSV (RFC 4180): rows for lines, then for the net amount, each tax and the total.

    The column ``row`` says which it is: ``line``, ``net``, ``tax`` or ``total``.
    """
    usage = document.usage
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_HEADINGS, restval="")
    writer.writeheader()

    def write(row: str, amount_minor: int, values: Mapping[str, object]) -> None:
        head = {
            "row": row,
            "invoice": document.number or "draft",
            "tenant": usage.tenant,
            "month": usage.month,
            "currency": usage.currency,
            "amount": document.money(amount_minor),
        }
        writer.writerow({**head, **values})

    for line, amount in zip(usage.lines, document.line_amounts_minor, strict=True):
        price = line.price_micro_per_1k_tokens
        values = {
            "price": line.price_id,
            "model": line.model,
            "kind": line.kind,
            "usage month": line.month,
            "tokens of": line.meter,
            "tier": "" if line.meter == "all" else line.tier or "free",
            "price of 1,000": "" if price is None else micro(price),
            "requests": line.requests,
            "tokens": line.tokens,
            "exact amount": micro(line.amount_micro),
        }
        write("line", amount, values)
    write("net", document.net_minor, {"exact amount": micro(usage.total_micro)})
    for tax in document.taxes:
        write("tax", tax.amount_minor, {"kind": f"{tax.name} {tax.percent} %"})
    write("total", document.gross_minor, {})
    return file.getvalue()


def as_html(document: InvoiceDocument) -> str:
    """Return a page to print, in which no text is taken for markup."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_PAGE).render(
        view=view_of(document),
        number=document.number,
        month=document.usage.month,
        headings=HEADINGS,
    )


FORMATS: Final[dict[str, Callable[[InvoiceDocument], str]]] = {
    "text": as_text,
    "json": as_json,
    "csv": as_csv,
    "html": as_html,
}
"""The formats that are text; PDF is `serving.billing.invoice_pdf`."""
