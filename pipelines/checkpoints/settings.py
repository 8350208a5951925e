"""What ``model.init_from`` decides in a config, and what it may not contradict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from pydantic import ValidationError

from pipelines.checkpoints.description import SIZES, CheckpointError
from pipelines.checkpoints.generation import Generation, decoding_notes
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.config_sections import CHAMPION, ModelConfig, TokenizerConfig
from tokenizer.base import TokenizerError
from tokenizer.hugging_face_files import unusual_special_names
from tokenizer.pretrained import load_pretrained_tokenizer


def with_checkpoint(
    model: ModelConfig,
    tokenizer_section: TokenizerConfig,
    given: Mapping[str, Mapping[str, Any]],
) -> tuple[ModelConfig, TokenizerConfig]:
    """Two sections of a config with what the checkpoint decides.

    Its sizes and the kind of its tokenizer hold in any case; its own way of decoding where the
    settings themselves do not say it.

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
    model = _with_generation(model, checkpoint.generation, given.get("model", {}))
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


def checkpoint_notes(model: ModelConfig) -> list[str]:
    """What a user should know of the checkpoint that a run starts from; a line each.

    How its own way of decoding is followed, and which of its special tokens are text here.

    Args:
      model: the ``[model]`` section, as `with_checkpoint` made it.

    Raises:
      CheckpointError: the checkpoint cannot be opened any more.
    """
    if model.init_from in ("", CHAMPION):
        return []
    checkpoint = open_checkpoint(model.init_from)
    notes = [str(note) for note in decoding_notes(checkpoint.generation, asdict(model))]
    if names := unusual_special_names(checkpoint.directory):
        notes.append(
            f"special tokens {', '.join(names)}: their names in a text are text. A token that "
            "texts shall hold is added to a tokenizer with special=False"
        )
    return notes


def _with_generation(
    model: ModelConfig, generation: Generation, given: Mapping[str, Any]
) -> ModelConfig:
    """A section with the checkpoint's way of decoding where it is not given."""
    taken = {name: value for name, value in generation.settings.items() if name not in given}
    try:
        with_taken = replace(model, **taken)
    except ValidationError as error:
        problems = [
            f"{generation.origins[str(problem['loc'][0])]} cannot be taken over: "
            f"{problem['msg']}"
            for problem in error.errors()
        ]
        raise CheckpointError(
            f"{'; '.join(problems)}. Set the setting of [model] that it becomes: "
            f"{', '.join(taken)}"
        ) from None
    longest = with_taken.max_output_tokens
    if taken.get("min_output_tokens", 0) > longest:
        raise CheckpointError(
            f"{generation.origins['min_output_tokens']} asks for "
            f"{taken['min_output_tokens']} ids at least. Expected: at most "
            f"model.max_output_tokens, or model.min_output_tokens set. Received: "
            f"max_output_tokens {longest}"
        )
    return with_taken


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
