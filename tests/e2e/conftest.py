"""A small corpus of real sentences whose summaries can be learned from their documents."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

_ACTIONS = {
    "opens": "Open",
    "closes": "Close",
    "reads": "Read",
    "writes": "Write",
    "removes": "Remove",
    "copies": "Copy",
}
_THINGS = ("file", "socket", "record", "table", "queue", "index", "page", "stream")
_MANNERS = (
    "at once and without a lock",
    "when the last reader has gone",
    "in the order of arrival",
    "unless the disk is full",
)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's JSONL: document and summary, 192 rows."""
    path = tmp_path_factory.mktemp("corpus") / "pairs.jsonl"
    rows = [
        {
            "document": (
                f"This call {action} the {thing} {manner}. "
                f"The {thing} must belong to the caller, and errors are reported by name."
            ),
            "summary": f"{imperative} the {thing} {manner}.",
        }
        for (action, imperative), thing, manner in itertools.product(
            _ACTIONS.items(), _THINGS, _MANNERS
        )
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
