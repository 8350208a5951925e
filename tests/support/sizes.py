"""How often that is done which can be done any number of times: one setting for all tests.

`make test` runs the quick sizes, `make test-long` sets TALLYGRAPH_TEST_SIZES=long.
"""

from __future__ import annotations

import os
from typing import Final

SETTING: Final = "TALLYGRAPH_TEST_SIZES"


def sizes() -> str:
    """``quick`` or ``long``."""
    chosen = os.environ.get(SETTING, "quick")
    if chosen not in ("quick", "long"):
        raise ValueError(f"{SETTING} must be quick or long. Received: {chosen!r}.")
    return chosen


def sized(quick: int, long: int) -> int:
    """The size of these two that this run is to use.

    The test that uses it is marked ``sized``, so that `make test-long` runs it, too:

        KILLS = sized(quick=5, long=200)

        @pytest.mark.sized
        def test_nothing_is_lost(): ...
    """
    return long if sizes() == "long" else quick
