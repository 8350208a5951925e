"""The registry's champion: the model that the next training starts from and is compared
with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.config import PipelineConfig, load_config
from pipelines.config_sections import CHAMPION
from pipelines.layout import OutputLayout

if TYPE_CHECKING:
    from components.model_registry.port import ModelRegistry, RegisteredVersion


def registered_champion(
    settings: PipelineConfig, layout: OutputLayout
) -> RegisteredVersion | None:
    """Return the champion in a pipeline's registry; None if there is none yet.

    Raises:
      RegistryError: the registry cannot be read.
    """
    registry = _registry(settings, layout)
    if registry is None:
        return None
    from components.model_registry.port import CHAMPION as CHAMPION_ALIAS

    return registry.by_alias(settings.serving.model_name, CHAMPION_ALIAS)


def moved_by_hand(settings: PipelineConfig, layout: OutputLayout) -> str:
    """Return which aliases people have moved in a pipeline's registry, and when; empty if none.

    Raises:
      RegistryError: the registry cannot be read.
    """
    registry = _registry(settings, layout)
    if registry is None:
        return ""
    from components.promoter import promotion

    return promotion.moved_by_hand(registry, settings.serving.model_name)


def _registry(settings: PipelineConfig, layout: OutputLayout) -> ModelRegistry | None:
    """None where nothing has been registered yet."""
    if not settings.registry.uri and not layout.registry_file.is_file():
        return None
    from components.model_registry import open_registry

    return open_registry(settings.registry.uri or layout.registry_uri)


def with_champion(
    settings: PipelineConfig,
    champion: RegisteredVersion | None,
    file: Path,
    overrides: Sequence[str],
    from_scratch: bool = False,
) -> PipelineConfig:
    """Return the settings with "champion" replaced by the champion's folder.

    If there is none, training starts from random weights and with a new tokenizer. If there is
    one, the model is not taught to copy its input first, because it has learnt that. Random
    weights are all trained, whatever `training.lora_rank` says.

    Args:
      settings: read from `file` with `overrides`.
      from_scratch: take only the tokenizer of the champion that training would start from.

    Raises:
      ConfigError: training cannot start from the champion with these settings.
    """
    folder = champion.uri if champion else ""
    named = []
    if settings.model.init_from == CHAMPION and from_scratch:
        named += ["model.init_from=", f"tokenizer.pinned={json.dumps(folder)}"]
        named.append("training.lora_rank=0")
    elif settings.model.init_from == CHAMPION:
        named.append(f"model.init_from={json.dumps(folder)}")
        named.append("training.start_copying=false" if champion else "training.lora_rank=0")
    if settings.tokenizer.pinned == CHAMPION:
        named.append(f"tokenizer.pinned={json.dumps(folder)}")
    return load_config(file, [*overrides, *named]) if named else settings


def newest_span(champion: RegisteredVersion) -> int | None:
    """Return the newest span that a version was trained on; None if its corpus had no spans."""
    return max(champion.numbers("spans"), default=None)
