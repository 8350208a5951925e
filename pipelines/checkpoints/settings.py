"""The settings that ``model.init_from`` determines, and checks of settings that contradict
it."""

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
    """Return two sections of a config with the values that the checkpoint determines.

    Its sizes and the kind of its tokenizer always apply; its decoding settings apply where the
    given settings do not say otherwise.

    Args:
      model: with ``init_from``, which names the checkpoint.
      tokenizer_section: of the same config.
      given: the settings that the file and the overrides give explicitly, by section.

    Raises:
      CheckpointError: the checkpoint cannot be used, or a given setting contradicts it.
      ArchitectureError: the checkpoint cannot be used with the config's limits.
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
    """List what a user should know about the checkpoint that a run starts from, one line each.

    These are how its decoding settings are followed, and which of its special tokens are text.

    Args:
      model: the ``[model]`` section, as `with_checkpoint` made it.

    Raises:
      CheckpointError: the checkpoint can no longer be opened.
    """
    if model.init_from in ("", CHAMPION):
        return []
    checkpoint = open_checkpoint(model.init_from)
    notes = [str(note) for note in decoding_notes(checkpoint.generation, asdict(model))]
    if names := unusual_special_names(checkpoint.directory):
        notes.append(
            f"special tokens {', '.join(names)}: their names in a text are treated as text. "
            "Add a token that may occur in texts to the tokenizer with special=False"
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
            f"{'; '.join(problems)}. Give the corresponding setting in [model] yourself: "
            f"{', '.join(taken)}"
        ) from None
    longest = with_taken.max_output_tokens
    if taken.get("min_output_tokens", 0) > longest:
        raise CheckpointError(
            f"{generation.origins['min_output_tokens']} requires at least "
            f"{taken['min_output_tokens']} ids. Expected: at most model.max_output_tokens, "
            f"or a setting model.min_output_tokens. Received: max_output_tokens {longest}"
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
        f"tokenizer.pinned is not the checkpoint's tokenizer. Expected: {fingerprint}, or "
        f"no tokenizer.pinned. Received: {received}"
    ]
