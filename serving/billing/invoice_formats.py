"""Formats an invoice as JSON, CSV or a page to print; the same invoice gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from jinja2 import Environment, StrictUndefined

from serving.billing.invoice import Invoice, columns_of, micro

_HEADINGS: Final = (
    "price",
    "model",
    "kind",
    "usage month",
    "tokens of",
    "tier",
    "price of 1,000",
    "requests",
    "tokens",
    "amount",
)

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Invoice {{ invoice.tenant }} {{ invoice.month }}</title>
<style>
body { font: 11pt/1.5 sans-serif; max-width: 60em; margin: 3em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3em .6em; border-bottom: 1px solid #ccc; text-align: right }
th:nth-child(-n+5), td:nth-child(-n+5) { text-align: left }
tfoot td { font-weight: bold; border-top: 2px solid #000 }
footer { color: #555; font-size: 9pt; overflow-wrap: anywhere }
</style>
</head>
<body>
<h1>Invoice</h1>
<p>{{ invoice.tenant }}, {{ invoice.month }}: {{ invoice.requests }} requests,
{{ invoice.input_tokens }} input tokens ({{ invoice.cached_tokens }} of them from a cache),
{{ invoice.output_tokens }} output tokens</p>
<table>
<thead><tr>{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in rows %}
<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
<tfoot>
<tr><td colspan="9">Total</td><td>{{ total }}</td></tr>
<tr><td colspan="9">To pay, {{ invoice.currency }}</td><td>{{ invoice.payable }}</td></tr>
</tfoot>
</table>
<footer>
{%- if rows %}
<p>Entries {{ invoice.first_entry }} to {{ invoice.last_entry }} of the ledger; hash of the
last: {{ invoice.last_hash }}</p>
{%- else %}
<p>No entries.</p>
{%- endif %}
</footer>
</body>
</html>
"""


def as_json(invoice: Invoice) -> str:
    """Return all fields as JSON; amounts in millionths."""
    document = {**asdict(invoice), "payable": invoice.payable}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_csv(invoice: Invoice) -> str:
    """Return CSV with a row for each line and one for the total (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["tenant", "month", "currency", *_HEADINGS])
    head = [invoice.tenant, invoice.month, invoice.currency]
    for row in columns_of(invoice.lines):
        writer.writerow([*head, *row])
    writer.writerow([*head, "total", *[""] * 8, micro(invoice.total_micro)])
    return text.getvalue()


def as_html(invoice: Invoice) -> str:
    """A page to print."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_PAGE).render(
        invoice=invoice,
        headings=_HEADINGS,
        rows=columns_of(invoice.lines),
        total=micro(invoice.total_micro),
    )


FORMATS: Final[dict[str, Callable[[Invoice], str]]] = {
    "json": as_json,
    "csv": as_csv,
    "html": as_html,
}
