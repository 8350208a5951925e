"""What of a recorded REST answer must be the same."""

from __future__ import annotations

import struct
from typing import Any

# After these words, our parser's own.
_PARSER = "JSON Parse error:"


def comparable(value: Any) -> Any:
    """Floats as float32, versions of a model as a set, quoted requests without layout, and of a
    parser's complaint only that it is one."""
    if isinstance(value, dict):
        result = {key: comparable(member) for key, member in value.items()}
        if "error" in result:
            message = " ".join(value["error"].split())
            result["error"] = _PARSER if message.startswith(_PARSER) else message
        if "model_version_status" in result:
            result["model_version_status"].sort(key=lambda entry: entry["version"])
        return result
    if isinstance(value, list):
        return [comparable(element) for element in value]
    if isinstance(value, float):
        try:
            return struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            return float("inf")
    return value
