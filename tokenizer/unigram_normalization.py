"""Normalisation of a Unigram's text as TensorFlow ops on code points.

Import only where TensorFlow may be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf

from tokenizer import grapheme_classes
from tokenizer.added_tokens import WHITE_SPACE
from tokenizer.bpe_graph import row_of_each
from tokenizer.character_map import MOST_BYTES, read_character_map
from tokenizer.unigram_json import Precompiled, Replace, Step, Strip

_CODE_POINTS: Final = 2**21
_CARRIAGE_RETURN: Final = 13
_LINE_FEED: Final = 10


class Characters(NamedTuple):
    """Texts as code points, one text behind the other.

    Attributes:
      values: int32 [characters].
      row: int32 [characters], which text each is of; ascending.
    """

    values: tf.Tensor
    row: tf.Tensor

    def where(self, kept: tf.Tensor) -> Characters:
        """Those that a bool [characters] keeps."""
        return Characters(*(tf.boolean_mask(each, kept) for each in self))


def normalization(steps: Sequence[Step]) -> Callable[[Characters], Characters]:
    """The steps, one behind the other."""
    functions = [_function(step) for step in steps]

    def apply(text: Characters) -> Characters:
        for function in functions:
            text = function(text)
        return text

    return apply


def white_space(values: tf.Tensor) -> tf.Tensor:
    """Which code points are white space; int32 [n] → bool [n]."""
    known = tf.constant(WHITE_SPACE, tf.int32)
    index = tf.minimum(tf.searchsorted(known, values), len(WHITE_SPACE) - 1)
    return tf.gather(known, index) == values


def neighbour(values: tf.Tensor, by: int, fill: int | bool) -> tf.Tensor:
    """What stands ``by`` places further on (before, if negative), or ``fill``."""
    padding = tf.fill([tf.minimum(abs(by), tf.size(values))], tf.cast(fill, values.dtype))
    if by < 0:
        return tf.concat([padding, values[: by or None]], axis=0)[: tf.size(values)]
    return tf.concat([values[by:], padding], axis=0)


def _function(step: Step) -> Callable[[Characters], Characters]:
    if isinstance(step, Precompiled):
        strings = read_character_map(step.tables).strings
        return _Replacement(strings) if strings else lambda text: text
    if isinstance(step, Strip):
        return lambda text: _strip(text, step)
    return lambda text: _replace(text, step)


def _strip(text: Characters, step: Strip) -> Characters:
    kept = tf.fill(tf.shape(text.values), True)
    visible = tf.cast(~white_space(text.values), tf.int32)
    for asked, reverse in ((step.left, False), (step.right, True)):
        if asked:
            # Visible ones of the row up to here, from the side that is stripped.
            count = tf.cumsum(visible, reverse=reverse)
            edge = neighbour(text.row, 1 if reverse else -1, -1) != text.row
            outside = tf.boolean_mask(count - visible, edge)  # at each row's end, in order
            present = tf.cumsum(tf.cast(edge, tf.int32), reverse=reverse) - 1
            if reverse:
                outside = tf.reverse(outside, [0])
            kept &= count > tf.gather(outside, present)
    return text.where(kept)


def _replace(text: Characters, step: Replace) -> Characters:
    found = text.values == ord(step.character)
    same_row = neighbour(text.row, -1, -1) == text.row
    again = found & same_row & neighbour(found, -1, False)
    next_row = neighbour(text.row, 1, -1) == text.row
    if step.at_least == 1:  # each by itself
        return text._replace(values=tf.where(found, ord(step.by), text.values))
    first_of_run = found & ~again & next_row & neighbour(found, 1, False)
    values = tf.where(first_of_run, ord(step.by), text.values)
    return text._replace(values=values).where(~again)


class _Replacement:
    """SentencePiece's tables as the library reads them; see `tokenizer.character_map`."""

    def __init__(self, strings: Mapping[str, str]) -> None:
        by_length: dict[int, dict[int, str]] = {}
        for key, value in strings.items():
            by_length.setdefault(len(key), {})[_key(key)] = value
        self._tables = [
            _Table(by_length[length]) if length in by_length else None for length in (1, 2, 3)
        ]
        every = [value for table in self._tables if table for value in table.values]
        lengths = [len(value) for value in every]
        self._values = np.array([ord(each) for value in every for each in value], np.int32)
        self._lengths = np.array(lengths, np.int32)
        self._starts = np.cumsum([0, *lengths[:-1]]).astype(np.int32)

    def __call__(self, text: Characters) -> Characters:
        code = tf.cast(text.values, tf.int64)
        row = text.row
        one = self._find(0, code)
        two_in, three_in = self._clusters(text)
        # The shortest string that a short cluster begins with is in place of all of it.
        second, third = (neighbour(code, by, 0) for by in (1, 2))
        two = tf.where(two_in, self._find(1, code * _CODE_POINTS + second), -1)
        triple = (code * _CODE_POINTS + second) * _CODE_POINTS + third
        three = tf.where(three_in, self._find(2, triple), -1)
        whole = tf.where(one >= 0, one, tf.where(two >= 0, two, three))
        replaced = two_in & (whole >= 0)
        follows = neighbour(replaced, -1, False) | neighbour(replaced & three_in, -2, False)
        string = tf.where(replaced, whole, one)
        from_table = (string >= 0) & ~follows
        length = tf.where(from_table, tf.gather(self._lengths, tf.maximum(string, 0)), 1)
        length = tf.where(follows, 0, length)
        source = row_of_each(length)
        offset = tf.range(tf.size(source)) - tf.gather(
            tf.cumsum(length, exclusive=True), source
        )
        at = tf.gather(self._starts, tf.gather(tf.maximum(string, 0), source)) + offset
        written = tf.where(
            tf.gather(from_table, source),
            tf.gather(self._padded_values(), at),
            tf.gather(text.values, source),
        )
        return Characters(written, tf.gather(row, source))

    def _padded_values(self) -> tf.Tensor:
        # Characters that are not replaced point anywhere.
        return tf.constant(np.append(self._values, np.int32(0)))

    def _find(self, table: int, keys: tf.Tensor) -> tf.Tensor:
        """Numbers of strings by their keys, int64 [n] → int32 [n]; -1 of others."""
        own = self._tables[table]
        if own is None:
            return tf.fill(tf.shape(keys), -1)
        before = sum(len(each.values) for each in self._tables[:table] if each)
        known = tf.constant(own.keys)
        index = tf.searchsorted(known, keys)
        return tf.where(tf.gather(known, index) == keys, index + before, -1)

    def _clusters(self, text: Characters) -> tuple[tf.Tensor, tf.Tensor]:
        """Which characters begin a cluster that is looked up as a whole: of two, of three."""
        joined = _joined(text)
        cluster = tf.cumsum(tf.cast(~joined, tf.int32)) - 1
        count = tf.reduce_max(tf.concat([cluster, [-1]], axis=0)) + 1
        size = tf.where(
            text.values < 0x80,
            1,
            tf.where(text.values < 0x800, 2, tf.where(text.values < 0x10000, 3, 4)),
        )
        total = tf.gather(tf.math.unsorted_segment_sum(size, cluster, count), cluster)
        first = ~joined
        second_in = neighbour(joined, 1, False)
        third_in = second_in & neighbour(joined, 2, False)
        begins = (total <= MOST_BYTES) & first & second_in
        return begins, begins & third_in


class _Table:
    """Strings by keys, ascending; a last key that no text has."""

    def __init__(self, strings: Mapping[int, str]) -> None:
        order = sorted(strings)
        self.keys = np.array([*order, 2**63 - 1], np.int64)
        self.values = [*(strings[key] for key in order), ""]


def _key(characters: str) -> int:
    key = 0
    for character in characters:
        key = key * _CODE_POINTS + ord(character)
    return key


def _joined(text: Characters) -> tf.Tensor:
    """Which characters form one with the one before; bool [characters].

    Of the rules of Unicode (UAX 29) those that can make a cluster of `MOST_BYTES`: all others
    join characters of three bytes and more.
    """
    starts = tf.constant(grapheme_classes.STARTS, tf.int32)
    run = tf.searchsorted(starts, text.values, side="right") - 1
    kind = tf.gather(tf.constant(grapheme_classes.CLASSES, tf.int32), run)
    before = neighbour(kind, -1, grapheme_classes.STANDS_ALONE)
    alone = grapheme_classes.STANDS_ALONE
    joins = (kind == grapheme_classes.JOINS) & (before != alone)
    joins |= (before == grapheme_classes.PREPENDS) & (kind != alone)
    joins |= (neighbour(text.values, -1, 0) == _CARRIAGE_RETURN) & (text.values == _LINE_FEED)
    return joins & (neighbour(text.row, -1, -1) == text.row)
