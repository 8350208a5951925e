"""Added tokens inside a TensorFlow graph. Import only where TensorFlow may be imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tokenizer.added_tokens import SPACE_CLASS, pattern_of
from tokenizer.bpe_graph import row_of_each
from tokenizer.hugging_face_files import AddedToken
from tokenizer.word_table import WordTable

# Bytes that no UTF-8 has: around a token that was found, and in front of it.
_BOUND: Final = b"\xff"
_FOUND: Final = b"\xfe"


class ModelGraph(Protocol):
    """The segmentation of text without added tokens."""

    def normalize(self, text: tf.Tensor) -> tf.Tensor:
        """Normalise texts as the model does before it looks for pieces; string [n], valid
        UTF-8."""

    def segment(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of normalised texts, string [n] → int32 [n, None]."""


class PieceTexts(NamedTuple):
    """The text of each id.

    Attributes:
      anywhere: by id.
      first: by id, for the first id of a text.
    """

    anywhere: Sequence[bytes]
    first: Sequence[bytes]


class _Sections(NamedTuple):
    """Texts cut at added tokens.

    Attributes:
      text: string [sections]; empty where a token was found.
      token: int32 [sections], its id, -1 elsewhere.
      row: int32 [sections], which text each is of; ascending.
    """

    text: tf.Tensor
    token: tf.Tensor
    row: tf.Tensor


class _Finder:
    """Cuts texts at some of the added tokens."""

    def __init__(self, tokens: Sequence[AddedToken], normalize: Callable[[str], str]):
        self._pattern = pattern_of(tokens, normalize)
        self._strips = any(token.lstrip or token.rstrip for token in tokens)
        self._ids = WordTable({normalize(token.content).encode(): token.id for token in tokens})

    def cut(self, sections: _Sections) -> _Sections:
        """Sections with those that are text cut at the tokens in them."""
        mark = tf.constant(_BOUND + _FOUND + rb"\0" + _BOUND)
        marked = tf.strings.regex_replace(sections.text, tf.constant(self._pattern), mark)
        parts = tf.strings.split(marked, tf.constant(_BOUND))
        lengths = tf.strings.length(parts.values)
        found = (lengths > 0) & (
            tf.strings.substr(parts.values, tf.zeros_like(lengths), tf.minimum(lengths, 1))
            == _FOUND
        )
        row = row_of_each(parts.row_lengths())
        name = tf.strings.substr(parts.values, tf.minimum(lengths, 1), lengths)
        if self._strips:
            name = tf.strings.regex_replace(name, f"^{SPACE_CLASS}+|{SPACE_CLASS}+$", "")
        token = tf.where(found, self._ids.find(name), tf.gather(sections.token, row))
        text = tf.where(found, "", parts.values)
        return _Sections(text, token, tf.gather(sections.row, row))


class AddedTokensGraph(tf.Module):
    """A tokenizer with added tokens as TensorFlow ops; see `GraphTokenizer`."""

    def __init__(
        self,
        model: ModelGraph,
        tokens: Sequence[AddedToken],
        normalize: Callable[[str], str],
        texts: PieceTexts,
    ):
        """Put the parts together.

        Args:
          model: segments what is between the tokens.
          tokens: the tokens that are content, checked by `check_added_tokens`.
          normalize: the model's normalisation, in Python.
          texts: of all ids.
        """
        super().__init__(name="added_tokens")
        self._model = model
        as_they_are = [token for token in tokens if not token.normalized]
        normalized = [token for token in tokens if token.normalized]
        self._before = _Finder(as_they_are, str) if as_they_are else None
        self._after = _Finder(normalized, normalize) if normalized else None
        self._texts = np.array(list(texts.anywhere), object)
        self._first_texts = np.array(list(texts.first), object)
        self._all_alike = texts.anywhere == texts.first

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts, string [batch] → int32 [batch, None]; see `GraphTokenizer`."""
        text = tf.ensure_shape(text, [None])
        # As Python's "replace" does it: one U+FFFD for each maximal ill-formed part.
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        if not (self._before or self._after):
            return self._model.segment(self._model.normalize(text))
        rows = tf.size(text)
        sections = _Sections(text, tf.fill([rows], -1), tf.range(rows))
        if self._before:
            sections = self._before.cut(sections)
        sections = sections._replace(text=self._model.normalize(sections.text))
        if self._after:
            sections = self._after.cut(sections)
        segmented = self._model.segment(sections.text)
        found = sections.token >= 0
        single = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(sections.token, found), tf.cast(found, tf.int64)
        )
        # Of each section one of the two is empty.
        ids = tf.concat([segmented, single], axis=1)
        lengths = tf.math.unsorted_segment_sum(ids.row_lengths(), sections.row, rows)
        return tf.RaggedTensor.from_row_lengths(ids.values, lengths)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Texts of ids, int32 [batch, None] → string [batch]; see `GraphTokenizer`."""
        flat = tf.cast(ids.values, tf.int32)
        size = len(self._texts)
        inside = (flat >= 0) & (flat < size)
        message = f"an id is outside the vocabulary. Expected: 0 to {size - 1}"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(inside), [message])]):
            pieces = tf.gather(tf.constant(self._texts), flat)
        row = row_of_each(ids.row_lengths())
        if not self._all_alike:
            pieces = self._with_first(flat, pieces, row)
        joined = tf.strings.unsorted_segment_join(pieces, row, ids.nrows())
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")

    def _with_first(self, flat: tf.Tensor, pieces: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Pieces with each row's first in the text that it has there.

        Ids that have no text do not count: what stands behind them is then the first.
        """
        has_text = tf.gather(tf.constant(self._texts), flat) != b""
        where = tf.where(has_text)[:, 0]
        own_row = tf.gather(row, where)
        first = tf.concat([own_row[:1] == own_row[:1], own_row[1:] != own_row[:-1]], axis=0)
        at = tf.boolean_mask(where, first)
        firsts = tf.gather(tf.constant(self._first_texts), tf.gather(flat, at))
        return tf.tensor_scatter_nd_update(pieces, at[:, tf.newaxis], firsts)
