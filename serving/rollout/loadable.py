"""What a version's folder must hold before a server is asked to load it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from serving.version_folders import SAVED_MODEL

_SHARD: Final = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")


def why_not_loadable(version: Path) -> str | None:
    """What a version's folder lacks, as far as that shows without TensorFlow; None if nothing.

    A server that fails to load a version may take minutes to say so.
    """
    try:
        Empty.FromString((version / SAVED_MODEL).read_bytes())  # any message can be read as one
    except OSError as error:
        return f"{SAVED_MODEL} cannot be read: {error.strerror}"
    except DecodeError:
        return f"{SAVED_MODEL} is no protocol buffer, or was cut off"
    if (version / SAVED_MODEL).stat().st_size == 0:
        return f"{SAVED_MODEL} is empty"
    variables = version / "variables"
    shards = [match for path in variables.glob("*") if (match := _SHARD.fullmatch(path.name))]
    has_index = (variables / "variables.index").is_file()
    if not shards and not has_index:
        return None  # a model without variables
    if not has_index:
        return "variables/variables.index is missing"
    expected = int(shards[0][2]) if shards else 1
    if {int(shard[1]) for shard in shards} != set(range(expected)):
        return f"variables/ has {len(shards)} of {expected} files variables.data-*"
    return None
