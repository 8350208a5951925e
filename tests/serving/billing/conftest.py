"""A ledger and a log to compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serving.billing.logged_case import Case


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    # Not at the top: it needs TensorFlow, and most tests of this folder do not.
    from tests.serving.billing.logged_case import logged_case

    with logged_case(tmp_path) as made:
        yield made
