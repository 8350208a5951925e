"""What is asked of a model, in OpenTelemetry's words for generative AI."""

from __future__ import annotations

from typing import Final

PROVIDER: Final = "tallygraph"
"""Who serves the model."""

OPERATION: Final = "summarize"
"""What the model is asked for; a chat with the gateway is a ``chat``."""
COUNT_OPERATION: Final = "count_tokens"
"""The same, without a summary: computed, and not charged."""

OPERATIONS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    "/v1/summaries": OPERATION,
}
"""By the route."""
