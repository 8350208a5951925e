"""A ledger and a log to compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

if TYPE_CHECKING:
    from tests.serving.billing.logged_case import Case


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    # Not at the top: it needs TensorFlow, and most tests of this folder do not.
    from tests.serving.billing.logged_case import Case

    engine = open_database(f"sqlite:///{tmp_path}/ledger.sqlite")
    upgrade(engine)
    yield Case(engine, tmp_path)
    engine.dispose()
