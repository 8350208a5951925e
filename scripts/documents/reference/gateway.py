"""What a gateway says of itself: its metrics and its OpenAPI document."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

from serving.gateway.ops.ledger_lag import LedgerLag
from serving.gateway.ops.metrics import Metrics
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade


@contextlib.contextmanager
def idle_metrics() -> Iterator[Metrics]:
    """The metrics of a gateway that has got no request."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{folder}/ledger.sqlite")
        upgrade(engine)
        metrics = Metrics()
        metrics.watch(LedgerLag(engine))
        try:
            yield metrics
        finally:
            engine.dispose()
