"""How a setting is declared: its default, its bounds, and what it means."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

# For every section of settings: nothing unknown is taken, defaults are checked too.
STRICT: Final = ConfigDict(extra="forbid", validate_default=True)


def setting(default: Any, meaning: str, **bounds: Any) -> Any:
    """A field of a section, with the meaning that `tallygraph config --reference` prints."""
    return Field(default=default, description=meaning, **bounds)
