"""What an error of gRPC's means: nobody was reached, or a server refused."""

from __future__ import annotations

import pytest

from serving.client.statuses import is_unreachable, was_sent


@pytest.mark.parametrize(
    ("code", "details", "unreachable", "sent"),
    [
        # As gRPC and TensorFlow Serving say it.
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...", True, False),
        ("UNAVAILABLE", "DNS resolution failed for nowhere:8500: ...", True, False),
        ("UNAVAILABLE", "Socket closed", True, True),
        ("UNAVAILABLE", "The server is busy: 64 requests are waiting", False, True),
        (
            "UNAVAILABLE",
            "The batch scheduling queue to which this task was submitted is full",
            False,
            True,
        ),
        ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted", False, True),
        ("NOT_FOUND", "Servable not found for request: Latest(what)", False, True),
    ],
)
def test_who_speaks(code: str, details: str, unreachable: bool, sent: bool) -> None:
    assert is_unreachable(code, details) == unreachable
    if unreachable:
        assert was_sent(details) == sent
