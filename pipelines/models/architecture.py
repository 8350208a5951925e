"""What a summariser is built from: family, sizes, limits and special ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

FAMILIES = ("t5", "bart")


class ArchitectureError(ValueError):
    """A model that cannot be built as asked. Never worth a retry."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that determines a model's graph, apart from its weights.

    Attributes:
      family: ``t5`` (relative positions, RMS norm before each block) or ``bart`` (learned
        positions, layer norm after each block).
      vocabulary_size: rows of the embedding; the tokenizer's real size.
      d_model: width of a token's state; a multiple of ``num_heads``.
      num_layers: blocks in the encoder, and as many in the decoder.
      num_heads: attention heads of a block.
      d_ff: width of the feed-forward block.
      dropout: share of activations dropped in training, in [0, 1).
      max_input_tokens: ids of the caller's text that the encoder reads at most; prefix and
        EOS are not counted.
      max_output_tokens: decoder steps at most, the one that writes EOS included.
      prefix_ids: ids put before the caller's ids (the task prefix), without EOS.
      pad_id, eos_id: special ids. The decoder starts from ``pad_id``.
      no_repeat_ngram_size: a sequence of so many ids is never written twice in one
        answer; 0 allows it. A setting of decoding, not of training, as are the next.
      num_beams: sequences that are followed at a time; 1 is greedy decoding.
      length_penalty: of beam search: a sequence is worth its log probability over its
        length to this power. Above 0 favours long sequences, below 0 short ones.
      early_stopping: of beam search: stop as soon as ``num_beams`` sequences are finished.
    """

    family: str
    vocabulary_size: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int
    max_input_tokens: int
    max_output_tokens: int
    dropout: float = 0.0
    prefix_ids: tuple[int, ...] = ()
    pad_id: int = 0
    eos_id: int = 1
    no_repeat_ngram_size: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ArchitectureError("the model cannot be built: " + "; ".join(problems))

    def _problems(self) -> list[str]:
        problems = []
        if self.family not in FAMILIES:
            problems.append(
                f"family must be one of {', '.join(FAMILIES)}. Received: {self.family!r}"
            )
        positive = (
            "vocabulary_size",
            "d_model",
            "num_layers",
            "num_heads",
            "d_ff",
            "max_input_tokens",
            "max_output_tokens",
            "num_beams",
        )
        bad = [name for name in positive if getattr(self, name) < 1]
        problems += [
            f"{name} must be at least 1. Received: {getattr(self, name)}" for name in bad
        ]
        if not bad and self.d_model % self.num_heads:
            problems.append(
                "d_model must be a multiple of num_heads. Received: "
                f"d_model {self.d_model}, num_heads {self.num_heads}"
            )
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout must be in [0, 1). Received: {self.dropout}")
        if self.no_repeat_ngram_size < 0 or self.no_repeat_ngram_size == 1:
            problems.append(
                "no_repeat_ngram_size must be 0 (off) or at least 2. Received: "
                f"{self.no_repeat_ngram_size}"
            )
        specials = {"pad_id": self.pad_id, "eos_id": self.eos_id}
        specials |= {f"prefix_ids[{i}]": v for i, v in enumerate(self.prefix_ids)}
        problems += [
            f"{name} must be an id of the vocabulary, 0 to {self.vocabulary_size - 1}. "
            f"Received: {value}"
            for name, value in specials.items()
            if not 0 <= value < self.vocabulary_size
        ]
        return problems

    @classmethod
    def from_config(
        cls,
        model: Mapping[str, Any],
        *,
        vocabulary_size: int,
        pad_id: int,
        eos_id: int,
        prefix_ids: tuple[int, ...],
    ) -> Self:
        """The architecture that a config's ``[model]`` section and a tokenizer describe.

        Keys of ``model`` that are not fields here (``task_prefix``, for one) are left
        alone: they are somebody else's.

        Raises:
          ArchitectureError: a field is missing, or the model cannot be built.
        """
        own = {field.name for field in fields(cls)}
        try:
            return cls(
                **{key: value for key, value in model.items() if key in own},
                vocabulary_size=vocabulary_size,
                pad_id=pad_id,
                eos_id=eos_id,
                prefix_ids=prefix_ids,
            )
        except TypeError as error:
            raise ArchitectureError(
                f"the [model] section is not complete: {error}. Received: {sorted(model)}"
            ) from None

    @property
    def encoder_length(self) -> int:
        """Longest encoder sequence: prefix, the caller's ids and EOS."""
        return len(self.prefix_ids) + self.max_input_tokens + 1

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads
