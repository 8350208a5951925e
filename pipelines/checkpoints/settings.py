"""What ``model.init_from`` decides in a config, and what it may not contradict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pipelines.checkpoints.description import SIZES, CheckpointError
from pipelines.checkpoints.opening import open_checkpoint
from tokenizer.base import TokenizerError
from tokenizer.pretrained import load_pretrained_tokenizer

if TYPE_CHECKING:
    from pipelines.config import PipelineConfig


def with_checkpoint(
    config: PipelineConfig, given: Mapping[str, Mapping[str, Any]]
) -> PipelineConfig:
    """A config with the sizes and the kind of tokenizer of the checkpoint it names.

    Args:
      config: with ``model.init_from``.
      given: the settings that the file and the overrides themselves give, by section.

    Raises:
      CheckpointError: the checkpoint cannot be used, or a given setting contradicts it.
      ArchitectureError: it cannot be used with the config's limits.
    """
    checkpoint = open_checkpoint(config.model.init_from)
    tokenizer = checkpoint.tokenizer
    problems = []
    kind = given.get("tokenizer", {}).get("kind", tokenizer.kind)
    if kind != tokenizer.kind:
        problems.append(
            f"tokenizer.kind is {tokenizer.kind!r} in the checkpoint. Expected: the same, or "
            f"no kind in the settings. Received: {kind!r}"
        )
    if config.tokenizer.pinned:
        problems += _other_tokenizer(config.tokenizer.pinned, tokenizer.fingerprint)
    if problems:
        raise CheckpointError("; ".join(problems))
    own = asdict(config.model)
    asked = {
        name: value
        for name, value in own.items()
        if name not in SIZES or name in given.get("model", {})
    }
    # Built to be checked: limits against positions, ids against the vocabulary.
    checkpoint.description.architecture(asked, tokenizer)
    sizes = {name: getattr(checkpoint.description, name) for name in SIZES}
    decided: dict[str, Any] = {"kind": tokenizer.kind}
    return replace(
        config,
        model=replace(config.model, **sizes),
        tokenizer=replace(config.tokenizer, **decided),
    )


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
