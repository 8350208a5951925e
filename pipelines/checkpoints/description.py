"""A checkpoint's description of its model, in the same form for every kind of checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from pipelines.models.architecture import Architecture
from tokenizer.base import Tokenizer
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.hugging_face_tokenizer import HuggingFaceTokenizer

# Settings of [model] that a checkpoint decides.
SIZES: Final = (
    "family",
    "d_model",
    "d_ff",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
)


class CheckpointError(ValueError):
    """The checkpoint does not match its own description, or cannot be used here. Never worth a
    retry."""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """The part of an `Architecture` that the weights determine; see there for the meaning.

    Attributes:
      encoder_start_ids: ids before the task prefix in every encoder row (BART's BOS).
    """

    family: str
    vocabulary_size: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int
    pad_id: int
    eos_id: int
    decoder_start_id: int
    forced_bos_id: int | None = None
    encoder_start_ids: tuple[int, ...] = ()
    d_kv: int = 0
    activation: str = "relu"
    gated: bool = False
    tied: bool = True
    layer_norm_epsilon: float = 1e-6
    max_positions: int = 0
    logits_scale: float = 1.0
    logits_bias: bool = False
    num_decoder_layers: int = 0
    bias_each_layer: bool = False

    @property
    def decoder_layers(self) -> int:
        return self.num_decoder_layers or self.num_layers

    @property
    def head_dim(self) -> int:
        return self.d_kv or self.d_model // self.num_heads

    def architecture(self, model: Mapping[str, Any], tokenizer: Tokenizer) -> Architecture:
        """Combine the model with a config's limits and decoding settings.

        Args:
          model: the config's ``[model]`` section. Sizes in it must be the checkpoint's.
          tokenizer: the checkpoint's.

        Raises:
          CheckpointError: a size contradicts the checkpoint, or the tokenizer's ids do not
            fit the model.
          ArchitectureError: the model cannot be built with these limits.
        """
        problems = [*self._contradicted(model), *self._misfits(tokenizer)]
        if problems:
            raise CheckpointError("; ".join(problems))
        own = asdict(self)
        start = own.pop("encoder_start_ids")
        # Limits and ways of decoding: what else an architecture is made of.
        others = {field.name for field in fields(Architecture)} - own.keys() - {"prefix_ids"}
        return Architecture(
            **own,
            **{name: value for name, value in model.items() if name in others},
            prefix_ids=(*start, *tokenizer.encode(model.get("task_prefix", ""))),
        )

    def _contradicted(self, model: Mapping[str, Any]) -> list[str]:
        own = {name: getattr(self, name) for name in SIZES}
        own["num_decoder_layers"] = self.decoder_layers
        given = {name: model[name] for name in SIZES if name in model}
        if given.get("num_decoder_layers") == 0:  # as many as the encoder
            given["num_decoder_layers"] = self.num_layers
        return [
            f"{name} is {own[name]!r} in the checkpoint. Expected: the same, or no {name} in "
            f"the settings. Received: {value!r}"
            for name, value in given.items()
            if value != own[name]
        ]

    def _misfits(self, tokenizer: Tokenizer) -> list[str]:
        problems = []
        needed = _rows_needed(tokenizer)
        if needed > self.vocabulary_size:
            problems.append(
                f"the embedding has fewer rows than the tokenizer has ids. Expected: at least "
                f"{needed}. Received: {self.vocabulary_size}"
            )
        for name in ("pad_id", "eos_id"):
            ours, theirs = getattr(tokenizer, name), getattr(self, name)
            if ours != theirs:
                problems.append(
                    f"{name} differs between model and tokenizer. Expected: {ours}, as in the "
                    f"tokenizer. Received: {theirs}"
                )
        return problems


def _rows_needed(tokenizer: Tokenizer) -> int:
    """Rows for every id that a text can have, and the special ids in use.

    BART's ``<mask>`` is neither, and some of its published checkpoints have no row for it.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return 1 + tokenizer.last_used_id
    if not isinstance(tokenizer, BytePairTokenizer):
        return tokenizer.vocabulary_size
    used = {tokenizer.pad_id, tokenizer.eos_id, *_if_any(tokenizer.bos_id)}
    unused = tokenizer.bpe.special_ids - used
    return 1 + max(each for each in tokenizer.bpe.ids.values() if each not in unused)


def _if_any(value: int | None) -> tuple[int, ...]:
    return () if value is None else (value,)
