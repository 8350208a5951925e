"""What ``model.init_from`` decides in a config, and what it may not contradict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from pipelines.checkpoints.description import SIZES, CheckpointError
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.config_sections import ModelConfig, TokenizerConfig
from tokenizer.base import TokenizerError
from tokenizer.pretrained import load_pretrained_tokenizer


def with_checkpoint(
    model: ModelConfig,
    tokenizer_section: TokenizerConfig,
    given: Mapping[str, Mapping[str, Any]],
) -> tuple[ModelConfig, TokenizerConfig]:
    """Two sections of a config with what the checkpoint decides: sizes, kind of tokenizer.

    Args:
      model: with ``init_from``, which names the checkpoint.
      tokenizer_section: of the same config.
      given: the settings that the file and the overrides themselves give, by section.

    Raises:
      CheckpointError: the checkpoint cannot be used, or a given setting contradicts it.
      ArchitectureError: it cannot be used with the config's limits.
    """
    checkpoint = open_checkpoint(model.init_from)
    tokenizer = checkpoint.tokenizer
    problems = []
    kind = given.get("tokenizer", {}).get("kind", tokenizer.kind)
    if kind != tokenizer.kind:
        problems.append(
            f"tokenizer.kind is {tokenizer.kind!r} in the checkpoint. Expected: the same, or "
            f"no kind in the settings. Received: {kind!r}"
        )
    if tokenizer_section.pinned:
        problems += _other_tokenizer(tokenizer_section.pinned, tokenizer.fingerprint)
    if problems:
        raise CheckpointError("; ".join(problems))
    own = asdict(model)
    asked = {
        name: value
        for name, value in own.items()
        if name not in SIZES or name in given.get("model", {})
    }
    # Built to be checked: limits against positions, ids against the vocabulary.
    checkpoint.description.architecture(asked, tokenizer)
    sizes = {name: getattr(checkpoint.description, name) for name in SIZES}
    decided: dict[str, Any] = {"kind": tokenizer.kind}
    return replace(model, **sizes), replace(tokenizer_section, **decided)


def _other_tokenizer(pinned: str, fingerprint: str) -> list[str]:
    try:
        received = load_pretrained_tokenizer(pinned).fingerprint
    except TokenizerError as error:
        return [f"tokenizer.pinned: {error}"]
    if received == fingerprint:
        return []
    return [
        "tokenizer.pinned is another tokenizer than the checkpoint's. Expected: "
        f"{fingerprint}, or no tokenizer.pinned. Received: {received}"
    ]
