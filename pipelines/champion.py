"""The registry's champion, as what the next training starts from and is held against."""

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
    """The champion in the registry of a pipeline; None where there is none yet.

    Raises:
      RegistryError: the registry cannot be read.
    """
    registry = _registry(settings, layout)
    if registry is None:
        return None
    from components.model_registry.port import CHAMPION as CHAMPION_ALIAS

    return registry.by_alias(settings.serving.model_name, CHAMPION_ALIAS)


def moved_by_hand(settings: PipelineConfig, layout: OutputLayout) -> str:
    """What people have moved in the registry of a pipeline, and when; empty for nothing.

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
    """Settings with the champion's folder where they name the champion.

    Where there is none, training starts from random weights and with a tokenizer of its own.
    Where there is one, nothing is made to copy its input first: it has learnt that.

    Args:
      settings: read from `file` with `overrides`.
      from_scratch: take the tokenizer of a champion that training would start from, and
        nothing else.

    Raises:
      ConfigError: the champion cannot be trained on with these settings.
    """
    folder = champion.uri if champion else ""
    named = []
    if settings.model.init_from == CHAMPION and from_scratch:
        named += ["model.init_from=", f"tokenizer.pinned={json.dumps(folder)}"]
    elif settings.model.init_from == CHAMPION:
        named.append(f"model.init_from={json.dumps(folder)}")
        if champion:
            named.append("training.start_copying=false")
    if settings.tokenizer.pinned == CHAMPION:
        named.append(f"tokenizer.pinned={json.dumps(folder)}")
    return load_config(file, [*overrides, *named]) if named else settings


def newest_span(champion: RegisteredVersion) -> int | None:
    """The newest span that a version was trained on; None where it had no spans."""
    spans = champion.tags.get("spans", "").split()
    return max(map(int, spans), default=None)
