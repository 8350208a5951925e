"""Usage events: an entry as a CloudEvent, in the shape that OpenMeter ingests.

CloudEvents 1.0 (https://github.com/cloudevents/spec), structured mode. ``subject`` is the
tenant, ``id`` is the same however often the event is sent.
"""

from __future__ import annotations

import datetime
import json
from typing import Final

from serving.ledger.records import Entry

EVENT_TYPE: Final = "tallygraph.usage"
TOP_UP_TYPE: Final = "tallygraph.credit"
SOURCE: Final = "tallygraph/ledger"


def usage_event(entry: Entry) -> str:
    """The event of an entry, as JSON. That of a top-up is of another type, so that nobody
    takes it for usage."""
    which = f"/{entry.number}" if entry.kind == "refund" else ""  # there may be several
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{entry.request_id}/{entry.kind}{which}",
            "source": SOURCE,
            "type": TOP_UP_TYPE if entry.kind == "top_up" else EVENT_TYPE,
            "subject": entry.tenant,
            "time": entry.created_at.replace(tzinfo=datetime.UTC).isoformat(),
            "datacontenttype": "application/json",
            "data": {
                "kind": entry.kind,
                "request_id": entry.request_id,
                "entry": entry.number,
                "model": entry.model,
                "model_version": entry.model_version,
                "tokenizer_fingerprint": entry.tokenizer_fingerprint,
                "input_tokens": entry.input_tokens,
                "cached_tokens": entry.cached_tokens,
                "output_tokens": entry.output_tokens,
                "total_tokens": entry.input_tokens + entry.output_tokens,
                "amount_micro": entry.amount_micro,
                "currency": entry.currency,
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
