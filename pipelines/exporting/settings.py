"""Which settings of ``[model]`` decide the weights, and which only how they are decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipelines.checkpoints.generation import DECODING_SETTINGS

# Labels are cut to max_output_tokens, and a new BART's table of positions is made for it:
# so it decides the weights, too.
DECODING_ONLY: Final = tuple(name for name in DECODING_SETTINGS if name != "max_output_tokens")
_EXPORTED: Final = (*DECODING_SETTINGS, "max_input_tokens", "task_prefix")


def training_part(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``[model]`` that training reads: its cache key has no others."""
    return {name: value for name, value in model.items() if name not in DECODING_ONLY}


def export_part(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``[model]`` that the export reads.

    These are the limits, the task prefix and the decoding settings. Sizes come from the
    trained weights' own description.
    """
    return {name: model[name] for name in _EXPORTED if name in model}
