"""The reference: a page for each thing that the code knows best, made from the code.

A page is a function that returns Markdown. Nothing in it is a copy: what cannot be taken from
the code is a sentence around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scripts.documents.reference.command_line import command_line
from scripts.documents.reference.counting import counting_contract, metering_json
from scripts.documents.reference.exit_codes import exit_codes
from scripts.documents.reference.ledger import ledger_schema
from scripts.documents.reference.metrics import metrics_and_events
from scripts.documents.reference.rest_api import admin_api, rest_api
from scripts.documents.reference.settings import settings

REFERENCE: Final[dict[str, Callable[[], str]]] = {
    "reference/settings.md": settings,
    "reference/command-line.md": command_line,
    "reference/exit-codes.md": exit_codes,
    "reference/rest-api.md": rest_api,
    "reference/admin-api.md": admin_api,
    "reference/metrics-and-events.md": metrics_and_events,
    "reference/counting-contract.md": counting_contract,
    "reference/metering-json.md": metering_json,
    "reference/ledger-schema.md": ledger_schema,
}
"""By the page's place in the documents."""
