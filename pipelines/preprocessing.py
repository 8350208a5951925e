"""Transform's user code, which puts the tokenizer into the transform graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the tokenizer's ops, in Beam's workers too)

from tokenizer.loading import load_tokenizer

TEXT_FEATURES = ("document", "summary")


def ids_feature(text_feature: str) -> str:
    """Return the name of the transformed feature with a text feature's ids."""
    return f"{text_feature}_ids"


def preprocessing_fn(
    inputs: dict[str, tf.Tensor | tf.SparseTensor], custom_config: dict[str, Any]
) -> dict[str, tf.SparseTensor]:
    """Turn texts into ids, in the graph.

    Args:
      inputs: string features of the raw examples; `document` and `summary`, one value a
        row, are used.
      custom_config: `tokenizer_dir`, the folder of a Tokenizer artifact.

    Returns:
      `document_ids` and `summary_ids`: int64 [batch, None], every id of the text. No
      special ids and no truncation: both belong to the model, not to the data.
    """
    tokenizer = load_tokenizer(custom_config["tokenizer_dir"]).graph_tokenizer()
    outputs = {}
    for feature in TEXT_FEATURES:
        ids = tokenizer.tokenize(_one_text_a_row(inputs[feature]))
        outputs[ids_feature(feature)] = tf.cast(ids, tf.int64).to_sparse()
    return outputs


def _one_text_a_row(values: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    if isinstance(values, tf.SparseTensor):
        one_wide = tf.SparseTensor(values.indices, values.values, [values.dense_shape[0], 1])
        values = tf.sparse.to_dense(one_wide, default_value=b"")
    return tf.reshape(values, [-1])
