"""Headers of responses: what a tenant has left, whether an answer is a replay, what was cut."""

from __future__ import annotations

from typing import Any, Final

import orjson

from serving.gateway.ports import Quota, SummaryResponse

REPLAYED: Final = "Idempotent-Replayed"
TRUNCATED: Final = "X-Truncated-Tokens"
EXPOSED: Final = (
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    REPLAYED,
    TRUNCATED,
    *(
        f"x-ratelimit-{what}-{of}"
        for of in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    ),
)
"""What a browser's page may read."""


def quota_headers(quota: Quota) -> dict[str, str]:
    """OpenAI's headers, for the limits that there are."""
    headers = {}
    for of, limit, remaining, reset_s in (
        ("requests", quota.requests_limit, quota.requests_remaining, quota.requests_reset_s),
        ("tokens", quota.tokens_limit, quota.tokens_remaining, quota.tokens_reset_s),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{of}"] = str(limit)
            headers[f"x-ratelimit-remaining-{of}"] = str(remaining)
            headers[f"x-ratelimit-reset-{of}"] = f"{reset_s}s"
    return headers


def response_headers(response: SummaryResponse) -> dict[str, str]:
    """The headers of an answer, in any API's shape."""
    headers = quota_headers(response.quota)
    headers[TRUNCATED] = str(truncated_tokens(orjson.loads(response.body)["usage"]))
    if response.replayed:
        headers[REPLAYED] = "true"
    return headers


def truncated_tokens(usage: dict[str, Any]) -> int:
    """Tokens that were cut off, by the usage of an answer; 0 for one that was rendered before
    usages had them."""
    for details in ("prompt_tokens_details", "input_tokens_details"):
        if details in usage:
            return int(usage[details].get("truncated_tokens", 0))
    return int(usage.get("truncated_tokens", 0))
