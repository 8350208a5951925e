"""GPT-2's splitting of text into words, as plain TensorFlow ops on code points.

The pattern, in two lines::

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+
    |\\s+(?!\\S)|\\s+

(https://github.com/openai/gpt-2, encoder.py). TensorFlow's regular expressions have no
lookahead and another edition of Unicode, so words are not matched but found by where they
start: each rule of the pattern is one on a character, its class and its neighbours.
"""

from __future__ import annotations

import tensorflow as tf

from tokenizer.character_classes import CLASSES, OTHER, SPACE, STARTS

_BLANK = ord(" ")
_APOSTROPHE = ord("'")
_SHORT_ENDINGS = "stmd"  # 's 't 'm 'd
_LONG_ENDINGS = (("r", "e"), ("v", "e"), ("l", "l"))


def word_starts(code_points: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Where the words of all rows start.

    Args:
      code_points: int32 [characters], the texts one behind the other.
      row: int32 [characters], which text each is of; ascending.

    Returns:
      bool [characters].
    """
    kind = _classes(code_points)
    space = kind == SPACE
    first = row != _shifted(row, -1, -1)
    last = row != _shifted(row, 1, -1)
    before = tf.where(first, -1, _shifted(code_points, -1, -1))
    space_before = _shifted(space, -1, False) & ~first
    after_blank = before == _BLANK
    space_starts = space & (
        ~space_before
        # Of several the last is left over: a blank goes to the next word, others stand alone.
        | (~last & ~_shifted(space, 1, False))
    )
    # What follows white space starts a word, unless the blank before it did so already.
    changes = tf.where(space_before, ~after_blank, kind != _shifted(kind, -1, -1))
    one, two = _contractions(code_points, row, kind, first | (space_before & ~after_blank))
    second = _shifted(one | two, -1, False)
    behind = _shifted(one, -2, False) | _shifted(two, -3, False)
    return first | space_starts | (~space & ((changes & ~second) | behind))


def _contractions(
    code_points: tf.Tensor, row: tf.Tensor, kind: tf.Tensor, fresh: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apostrophes that begin a contraction of one, and of two letters; bool each.

    ``fresh`` marks characters that start a word whatever they are.
    """
    starts = fresh | (
        (_shifted(kind, -1, OTHER) != OTHER) & (_shifted(kind, -1, SPACE) != SPACE)
    )
    apostrophe = (code_points == _APOSTROPHE) & starts
    next_one = tf.where(_shifted(row, 1, -1) == row, _shifted(code_points, 1, -1), -1)
    next_two = tf.where(_shifted(row, 2, -1) == row, _shifted(code_points, 2, -1), -1)
    one, two = tf.zeros_like(apostrophe), tf.zeros_like(apostrophe)
    for letter in _SHORT_ENDINGS:
        one |= next_one == ord(letter)
    for first, second in _LONG_ENDINGS:
        two |= (next_one == ord(first)) & (next_two == ord(second))
    return apostrophe & one, apostrophe & two


def _classes(code_points: tf.Tensor) -> tf.Tensor:
    run = tf.searchsorted(tf.constant(STARTS, tf.int32), code_points, side="right") - 1
    return tf.gather(tf.constant(CLASSES, tf.int32), run)


def _shifted(values: tf.Tensor, by: int, fill: int | bool) -> tf.Tensor:
    """What stands ``by`` places further on (before, if negative), or ``fill``."""
    padding = tf.fill([tf.minimum(abs(by), tf.size(values))], tf.cast(fill, values.dtype))
    if by < 0:
        return tf.concat([padding, values[: by or None]], axis=0)[: tf.size(values)]
    return tf.concat([values[by:], padding], axis=0)
