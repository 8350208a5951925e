"""Checks that a tokenizer gives the same results in Python and in the graph.

A valid tokenizer can still behave differently in TF Text than in its library, because of
another release or a setting that the two interpret differently. Such a tokenizer
would charge for one count and be checked against another, so it is never used.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tokenizer.base import Tokenizer, TokenizerError, utf8_bytes


def check_agreement(tokenizer: Tokenizer, texts: Sequence[str | bytes]) -> None:
    """Encode and decode each text in Python and in the graph.

    Raises:
      TokenizerError: the ids of a text, or the text of those ids, differ.
    """
    if not texts:
        return
    graph = tokenizer.graph_tokenizer()
    # Traced, as a served model has them: loops that run op by op take many times as long.
    tokenize = tf.function(graph.tokenize, autograph=False)
    detokenize = tf.function(graph.detokenize, autograph=False)
    inputs = [utf8_bytes(text) for text in texts]
    expected_ids = [tokenizer.encode(text) for text in inputs]
    graph_ids = tokenize(tf.constant(inputs, tf.string)).to_list()
    for text, expected, received in zip(inputs, expected_ids, graph_ids, strict=True):
        if expected != received:
            raise _disagreement(tokenizer, "encodes", text, expected, received)
    flat_ids = [value for ids in expected_ids for value in ids]
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(flat_ids, tf.int32), [len(ids) for ids in expected_ids]
    )
    graph_texts = detokenize(ragged).numpy().tolist()
    for ids, received_text in zip(expected_ids, graph_texts, strict=True):
        expected_text = tokenizer.decode(ids)
        if expected_text.encode("utf-8") != received_text:
            raise _disagreement(tokenizer, "decodes", ids, expected_text, received_text)


def _disagreement(
    tokenizer: Tokenizer, does: str, case: object, expected: object, received: object
) -> TokenizerError:
    return TokenizerError(
        f"the {tokenizer.kind} tokenizer {does} differently in the graph than in its own "
        f"library, so its counts cannot be trusted. For {_short(case)} expected "
        f"{_short(expected)}, received {_short(received)}. Check that the library's release "
        "is the one in uv.lock, and use a tokenizer whose settings both support"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
