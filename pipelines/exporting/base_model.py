"""The base SavedModel: text in; summary, ids read and ids written out, all in the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the transform graph)

from pipelines.models.decoding import Decoder
from tokenizer.contract import INPUT_TEXT, SIGNATURE_DEFAULT, SUMMARY, BaseModelSpec
from tokenizer.output_ids import count_output_ids, ids_with_text

DOCUMENT_FEATURE = "document"
DOCUMENT_IDS = "document_ids"

# Strings have no other kernels. The integers around them have, and would be sent to a GPU and
# back between two ops.
_OF_TEXT: Final = "CPU:0"


class BaseModel(tf.Module):
    """Tokenizer, decoder and detokenizer of one summariser; see ``BaseModelSpec``."""

    def __init__(
        self,
        transform_graph: tf.Module,
        decoder: Decoder,
        detokenizer: tf.Module,
        spec: BaseModelSpec,
    ) -> None:
        """Join the parts.

        Args:
          transform_graph: what ``tf.saved_model.load`` returns for Transform's graph.
          decoder: the trained model's.
          detokenizer: has ``detokenize(RaggedTensor int32) -> string``.
          spec: the model's description of itself.
        """
        super().__init__(name="base_model")
        self._transform_graph = transform_graph
        self._decoder = decoder
        self._detokenizer = detokenizer
        self._spec = spec
        self.generate = decoder.generate

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=INPUT_TEXT)])
    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return every id of the texts, int32 ``[batch, None]``; no special ids, no
        truncation."""
        with tf.device(_OF_TEXT):
            features = _raw_features(self._transform_graph, text)
            ids = self._transform_graph.transform_fn(features)[DOCUMENT_IDS]
            return tf.cast(tf.RaggedTensor.from_sparse(ids), tf.int32)

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)], autograph=False)
    def detokenize(self, output_ids: tf.RaggedTensor) -> tf.Tensor:
        """Return the texts of rows of ids, string ``[batch]``."""
        with tf.device(_OF_TEXT):
            return self._detokenizer.detokenize(output_ids)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name=INPUT_TEXT)], autograph=False
    )
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """The base signature.

        Returns:
          ``summary`` string ``[batch]``, ``input_length`` int32 ``[batch]`` (the caller's
          ids that were read) and ``output_ids`` int32 ``[batch, steps]`` (padded, with
          EOS).
        """
        ids = self.tokenize(text)[:, : self._spec.max_input_tokens]
        length = tf.cast(ids.row_lengths(), tf.int32)
        no_limit = tf.zeros_like(length)
        written = self.generate(ids.to_tensor(self._spec.pad_id), length, no_limit)
        limit = tf.fill(tf.shape(length), self._spec.max_output_tokens)
        counted, _ = count_output_ids(written, limit, self._spec)
        return {
            SUMMARY: self.detokenize(ids_with_text(written, counted, self._spec)),
            "input_length": length,
            "output_ids": written,
        }


def export_base_model(
    directory: str | Path,
    *,
    transform_graph_dir: str,
    decoder: Decoder,
    detokenizer: tf.Module,
    spec: BaseModelSpec,
) -> None:
    """Write the base SavedModel and its ``assets.extra/base.json``.

    Args:
      directory: where to write the SavedModel.
      transform_graph_dir: folder of Transform's SavedModel.
      decoder, detokenizer, spec: see ``BaseModel``.
    """
    transform_graph = tf.saved_model.load(transform_graph_dir)
    model = BaseModel(transform_graph, decoder, detokenizer, spec)
    tf.saved_model.save(model, str(directory), signatures={SIGNATURE_DEFAULT: model.serve})
    spec.save(directory)


def _raw_features(
    transform_graph: tf.Module, text: tf.Tensor
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Inputs for the transform graph: the text as the document, all else left empty.

    The exported function takes every raw feature, though the ids need the document alone.
    """
    (specs,), _ = transform_graph.transform_fn.structured_input_signature
    if DOCUMENT_FEATURE not in specs:
        raise ValueError(
            f"the transform graph does not read {DOCUMENT_FEATURE!r}. Expected: the graph "
            "of this pipeline's Transform. Received: a graph that reads "
            f"{', '.join(sorted(specs))}"
        )
    empty = tf.fill([tf.size(text)], "")
    return {
        name: _as_feature(text if name == DOCUMENT_FEATURE else empty, spec)
        for name, spec in specs.items()
    }


def _as_feature(values: tf.Tensor, spec: tf.TypeSpec) -> tf.Tensor | tf.SparseTensor:
    """One value a row, dense or sparse as the graph wants it."""
    if not isinstance(spec, tf.SparseTensorSpec):
        return values[:, tf.newaxis] if spec.shape.rank == 2 else values
    batch = tf.size(values, tf.int64)
    rows = tf.range(batch)
    return tf.SparseTensor(
        indices=tf.stack([rows, tf.zeros_like(rows)], axis=1),
        values=values,
        dense_shape=tf.stack([batch, tf.constant(1, tf.int64)]),
    )
