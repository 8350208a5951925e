"""Weights from which a fresh T5 already copies: an induction head across encoder and decoder.

Trained from scratch on few pairs, a small T5 finds the language of summaries long before it
finds out how to take words from its document. Copying needs two attentions to agree
("Write what followed, in the document, the word that was written last"; Olsson et al., 2022,
In-context Learning and Induction Heads), and before both are there, neither helps. Here both
are put into the first layers as a starting point that training is free to change:

- encoder, first head: each position looks one back and notes which id it finds there;
- decoder, self-attention: turns the state by a rotation, so that the last id can be asked
  for without being written again;
- cross-attention: looks for the positions that noted the last id, and adds their own ids to
  the state, which the tied output embedding reads.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from pipelines.models.architecture import Architecture

_OTHERS: Final = 0.3  # scale of every other contribution to the state, so that these are heard
_ONE_BACK: Final = 1  # bucket of relative positions: the position before
_ITSELF: Final = 0
_BIAS_ONE_BACK: Final = 8.0  # logits, against keys that differ by about 1
_BIAS_ITSELF: Final = 6.0
_NOTE: Final = 2.0
_MATCH: Final = 0.45
_NOISE: Final = (0.005, 0.02)  # of queries and keys: heads that are alike would stay alike


def start_copying(model: keras.Model, architecture: Architecture, seed: int) -> None:
    """Set the first layers of a fresh T5 so that it copies; see the module.

    Args:
      model: from `pipelines.models.families.build_model`, not trained.
      architecture: of the family ``t5``.
      seed: of the rotations.

    Raises:
      ValueError: the family is another one.
    """
    if architecture.family != "t5":
        raise ValueError(
            f"only a T5 can start copying. Received: a model of {architecture.family!r}. BART "
            "learns it with training.lead_steps"
        )
    generator = np.random.default_rng(seed)
    width, head = architecture.d_model, architecture.head_dim
    content, note = (_rotation(width, generator)[:, :head] for _ in range(2))
    turn = _rotation(width, generator)
    backbone = model.backbone
    for layer in [*backbone.encoder_transformer_layers, *backbone.decoder_transformer_layers]:
        _scale(layer.output_projector.kernel, _OTHERS)
        _scale(layer.self_attention.output_projector.kernel, _OTHERS)
        if layer.is_decoder:
            _scale(layer.cross_attention.output_projector.kernel, _OTHERS)
    _note_the_id_before(backbone.encoder_transformer_layers[0].self_attention, content, note)
    first = backbone.decoder_transformer_layers[0]
    _turn(first.self_attention, turn, generator)
    _fetch_what_followed(
        first.cross_attention, turn.T @ content, note, architecture.num_heads, generator
    )


_Array = npt.NDArray[np.float32]


def _note_the_id_before(attention: Any, content: _Array, note: _Array) -> None:
    head = content.shape[1]
    _set(attention.relative_attention_bias, np.s_[_ONE_BACK, 0], _BIAS_ONE_BACK)
    _set(attention.query_projector.kernel, np.s_[:, :head], 0.0)
    _set(attention.value_projector.kernel, np.s_[:, :head], content)
    _set(attention.output_projector.kernel, np.s_[:head], _NOTE * note.T)


def _turn(attention: Any, turn: _Array, generator: np.random.Generator) -> None:
    """The state plus what this attention adds is the state, turned."""
    carrier = _rotation(len(turn), generator)
    _set(attention.relative_attention_bias, np.s_[_ITSELF, :], _BIAS_ITSELF)
    _scale(attention.query_projector.kernel, 0.1)
    attention.value_projector.kernel.assign(carrier)
    attention.output_projector.kernel.assign(carrier.T @ (turn - np.eye(len(turn))))


def _fetch_what_followed(
    attention: Any,
    asked: _Array,
    note: _Array,
    num_heads: int,
    generator: np.random.Generator,
) -> None:
    carrier = _rotation(len(note), generator)
    for projector, one_head, noise in (
        (attention.query_projector, asked, _NOISE[0]),
        (attention.key_projector, note, _NOISE[1]),
    ):
        kernel = np.concatenate([_MATCH * one_head] * num_heads, axis=1)
        projector.kernel.assign(kernel + generator.normal(0, noise, kernel.shape))
    attention.value_projector.kernel.assign(carrier)
    attention.output_projector.kernel.assign(carrier.T)


def _rotation(width: int, generator: np.random.Generator) -> _Array:
    """A random orthogonal matrix, float32 [width, width]."""
    q, r = np.linalg.qr(generator.normal(size=(width, width)))
    return (q * np.sign(np.diag(r))).astype("float32")


def _scale(variable: Any, factor: float) -> None:
    variable.assign(variable.numpy() * factor)


def _set(variable: Any, where: Any, value: Any) -> None:
    values = variable.numpy()
    values[where] = value
    variable.assign(values)
