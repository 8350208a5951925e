"""A summariser's architecture: family, sizes, limits and special ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

FAMILIES = ("t5", "bart", "pegasus")
# Ids of a row, prefix and EOS included, with which int8's sums are exact; see
# `pipelines.models.exact_arithmetic`.
LONGEST_IN_INT8: Final = 2**13 - 1
# Of a feed-forward, by Hugging Face's names; gelu_new is gelu by its tanh approximation.
ACTIVATIONS: Final = ("relu", "gelu", "gelu_new", "silu")

# Name of a BART's bias on its logits: Hugging Face's tensor, and our layer.
LOGITS_BIAS: Final = "final_logits_bias"


class ArchitectureError(ValueError):
    """The model cannot be built as requested. Never worth a retry."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that determines a model's graph, apart from its weights.

    Attributes:
      family: ``t5`` (relative positions, RMS norm before each block), ``bart`` (learned
        positions, layer norm after each block) or ``pegasus`` (a BART with sinusoidal
        positions and layer norm before each block).
      vocabulary_size: rows of the embedding: the tokenizer's real size, or more, as in
        T5's own checkpoints.
      d_model: width of a token's state; a multiple of ``num_heads`` if ``d_kv`` is 0.
      num_layers: blocks in the encoder.
      num_heads: attention heads of a block.
      d_ff: width of the feed-forward block.
      dropout: share of activations dropped in training, in [0, 1).
      max_input_tokens: maximum number of ids of the caller's text that the encoder reads;
        prefix and EOS are not counted.
      max_output_tokens: maximum number of decoder steps, including the one that writes EOS.
      prefix_ids: ids put before the caller's ids (the task prefix), without EOS.
      pad_id, eos_id: special ids.
      decoder_start_id: the id that the decoder reads before it has written anything.
      forced_bos_id: the id that the decoder then always writes, or None. It belongs to the
        start: limits and counts do not include it, and ``generate`` does not return it.
      d_kv: width of a T5's attention head; 0 for ``d_model / num_heads``.
      activation: in the feed-forward of a T5 or a Pegasus, one of `ACTIVATIONS`; BART's is
        always gelu.
      gated: whether a T5's feed-forward is gated, as in T5 v1.1 and FLAN.
      tied: whether a T5's output layer is its embedding; the states before it are then
        scaled by ``d_model ** -0.5``. BART's always is, and scaled by ``logits_scale``.
      layer_norm_epsilon: of a T5's norms; BART's is always 1e-5.
      max_positions: rows of a BART's tables of positions; 0: as many as the limits need.
      logits_scale: of a BART: factor of the states before the output layer. A checkpoint
        with ``scale_embedding`` has its scaled embeddings in the table, and the inverse here.
      logits_bias: whether a BART adds a bias to its logits (``final_logits_bias``).
      num_decoder_layers: blocks in the decoder; 0: as many as in the encoder.
      bias_each_layer: whether each layer of a T5 has its own table of relative positions,
        as in UMT5.
      no_repeat_ngram_size: no sequence of this many ids is repeated within a summary; 0:
        allowed. A setting of decoding, not of training, like the following ones.
      min_output_tokens: minimum number of ids before EOS, unless the limit comes first.
      repetition_penalty: the score of ids that were written, including the decoder's start, is
        made worse by this factor; 1: no penalty.
      banned_ids: ids, and sequences of ids, that are never written.
      force_eos: after ``max_output_tokens`` ids, one more step always writes EOS. Like a forced
        BOS, it is not a choice of the model: limits and counts do not include it, ``generate``
        does not return it, and a row that ends with it has ended by its limit. A row's own,
        smaller limit does not force an EOS.
      num_beams: number of beams; 1: greedy decoding.
      length_penalty: for beam search: the score of a sequence is its log probability divided by
        its length to this power. Above 0 favours long sequences, below 0 short ones.
      early_stopping: for beam search: stop as soon as ``num_beams`` sequences are finished.
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
    decoder_start_id: int = 0
    forced_bos_id: int | None = None
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
    no_repeat_ngram_size: int = 0
    min_output_tokens: int = 0
    repetition_penalty: float = 1.0
    banned_ids: tuple[tuple[int, ...], ...] = ()
    force_eos: bool = False
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        # Settings that have been JSON hold lists.
        object.__setattr__(self, "banned_ids", tuple(map(tuple, self.banned_ids)))
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
        if not bad and not self.d_kv and self.d_model % self.num_heads:
            problems.append(
                "d_model must be a multiple of num_heads. Received: "
                f"d_model {self.d_model}, num_heads {self.num_heads}"
            )
        if self.activation not in ACTIVATIONS:
            problems.append(
                f"activation must be one of {', '.join(ACTIVATIONS)}. Received: "
                f"{self.activation!r}"
            )
        longest = max(self.encoder_length, self.decoder_length)
        if self.max_positions and longest > self.max_positions:
            problems.append(
                f"the model has {self.max_positions} positions. Expected: max_input_tokens + "
                f"{len(self.prefix_ids) + 1} (prefix and EOS) and max_output_tokens + "
                f"{self.decoder_length - self.max_output_tokens} within them. Received: "
                f"max_input_tokens {self.max_input_tokens}, max_output_tokens "
                f"{self.max_output_tokens}"
            )
        if self.num_decoder_layers < 0:
            problems.append(
                "num_decoder_layers must be 0 (as many as the encoder) or more. Received: "
                f"{self.num_decoder_layers}"
            )
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout must be in [0, 1). Received: {self.dropout}")
        if self.no_repeat_ngram_size < 0 or self.no_repeat_ngram_size == 1:
            problems.append(
                "no_repeat_ngram_size must be 0 (off) or at least 2. Received: "
                f"{self.no_repeat_ngram_size}"
            )
        if not 0 <= self.min_output_tokens <= self.max_output_tokens:
            problems.append(
                f"min_output_tokens must be 0 to max_output_tokens, {self.max_output_tokens}. "
                f"Received: {self.min_output_tokens}"
            )
        if self.repetition_penalty <= 0:
            problems.append(
                f"repetition_penalty must be above 0. Received: {self.repetition_penalty}"
            )
        if any(not words or words == (self.eos_id,) for words in self.banned_ids):
            problems.append(
                f"banned_ids must be sequences of at least one id, and not EOS "
                f"({self.eos_id}) alone. Received: {list(map(list, self.banned_ids))}"
            )
        specials = {
            "pad_id": self.pad_id,
            "eos_id": self.eos_id,
            "decoder_start_id": self.decoder_start_id,
        }
        if self.forced_bos_id is not None:
            specials["forced_bos_id"] = self.forced_bos_id
        specials |= {f"prefix_ids[{i}]": v for i, v in enumerate(self.prefix_ids)}
        specials |= {
            f"banned_ids[{i}][{j}]": value
            for i, words in enumerate(self.banned_ids)
            for j, value in enumerate(words)
        }
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
        """Return a new model's architecture, from a config's ``[model]`` section and a
        tokenizer.

        Its decoder starts from ``pad_id``.

        Keys of ``model`` that are not fields here (such as ``task_prefix``) are ignored,
        because other code uses them.

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
                decoder_start_id=pad_id,
                prefix_ids=prefix_ids,
            )
        except TypeError as error:
            raise ArchitectureError(
                f"the [model] section is not complete: {error}. Received: {sorted(model)}"
            ) from None

    @property
    def decoder_layers(self) -> int:
        """Blocks in the decoder."""
        return self.num_decoder_layers or self.num_layers

    @property
    def encoder_length(self) -> int:
        """Longest encoder sequence: prefix, the caller's ids and EOS."""
        return len(self.prefix_ids) + self.max_input_tokens + 1

    @property
    def label_length(self) -> int:
        """Labels at most in training, a forced BOS included, and a forced EOS not.

        A forced EOS is no choice of the model's, so there is nothing to learn of it.
        """
        return self.max_output_tokens + self.forced_start

    @property
    def decoder_length(self) -> int:
        """Maximum number of decoder steps, including a forced BOS and a forced EOS."""
        return self.label_length + self.force_eos

    @property
    def forced_start(self) -> int:
        """Steps before the first id that counts: 1 if a BOS is forced, else 0."""
        return int(self.forced_bos_id is not None)

    @property
    def positions(self) -> int:
        """Positions that the longest rows take, be an EOS forced or not: weights are trained
        before that is decided."""
        return max(self.encoder_length, self.label_length + 1)

    @property
    def head_dim(self) -> int:
        """Width of an attention head."""
        return self.d_kv or self.d_model // self.num_heads
