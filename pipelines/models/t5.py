"""T5: the keras-hub model that is trained, and its plain graph that is served."""

from __future__ import annotations

import warnings
from typing import Final

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import attend, dense, merge_heads, padding_bias, split_heads
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph

# keras-hub names an argument of its own `mask`, which Keras takes for masking metadata. No
# layer here uses that.
warnings.filterwarnings("ignore", message=".*T5MultiHeadAttention.*input with a mask attached")

_ACTIVATIONS: Final = {
    "relu": "relu",
    "gelu": "gelu",
    # A function that keras-hub has registered, so that a saved backbone can be loaded again.
    "gelu_new": keras.saving.get_registered_object("keras_hub>gelu_approximate"),
    "silu": "silu",
}


def build_t5(architecture: Architecture) -> keras_hub.models.T5Seq2SeqLM:
    """A T5 with random weights; by default as T5 1.0 is: tied, a plain ReLU feed-forward."""
    backbone = keras_hub.models.T5Backbone(
        vocabulary_size=architecture.vocabulary_size,
        num_layers=architecture.num_layers,
        num_heads=architecture.num_heads,
        hidden_dim=architecture.d_model,
        intermediate_dim=architecture.d_ff,
        key_value_dim=architecture.d_kv or None,
        dropout=architecture.dropout,
        activation=_ACTIVATIONS[architecture.activation],
        use_gated_activation=architecture.gated,
        layer_norm_epsilon=architecture.layer_norm_epsilon,
        tie_embedding_weights=architecture.tied,
    )
    # keras-hub means a deviation of 1 and passes it as the initializer's mean: all its
    # embeddings start as nearly the same vector, and the model hardly sees its input.
    embeddings = backbone.token_embedding.embeddings
    embeddings.assign(keras.initializers.RandomNormal(stddev=1.0)(embeddings.shape))
    return keras_hub.models.T5Seq2SeqLM(backbone=backbone)


class T5Graph(Seq2SeqGraph):
    """A T5's weights, fused for decoding, with the ops that use them.

    Takes gated and plain feed-forwards, tied and untied embeddings.
    """

    def __init__(self, model: keras_hub.models.T5Seq2SeqLM, architecture: Architecture) -> None:
        super().__init__(name="t5")
        backbone = model.backbone
        self.num_layers = backbone.num_layers
        self.num_heads = backbone.num_heads
        self.head_dim = backbone.key_value_dim or backbone.hidden_dim // backbone.num_heads
        self._epsilon = backbone.layer_norm_epsilon
        self._activation = backbone.activation
        embedding = backbone.token_embedding
        self.embeddings = _frozen(embedding.embeddings)
        # [vocabulary, d_model]; tied heads are scaled as T5 does it.
        self._tied = backbone.tie_embedding_weights
        self.head = (
            self.embeddings
            if self._tied
            else _frozen(tf.transpose(embedding.reverse_embeddings))
        )
        self._head_scale = backbone.hidden_dim**-0.5 if self._tied else 1.0
        self.encoder_layers = [_Block(layer) for layer in backbone.encoder_transformer_layers]
        self.decoder_layers = [_Block(layer) for layer in backbone.decoder_transformer_layers]
        self.encoder_norm = _frozen(backbone.encoder_layer_norm.weight)
        self.decoder_norm = _frozen(backbone.decoder_layer_norm.weight)
        self.encoder_bias = _frozen(_encoder_bias(backbone, architecture.encoder_length))
        self.decoder_bias = _frozen(_decoder_bias(backbone, architecture.decoder_length))

    def encode(self, input_ids: tf.Tensor, input_length: tf.Tensor) -> Memory:
        width = tf.shape(input_ids)[1]
        mask = padding_bias(input_length, width)
        bias = self._encoder_position_bias(width) + mask
        x = tf.gather(self.embeddings, input_ids)
        for block in self.encoder_layers:
            q, k, v = tf.split(dense(self._norm(x, block.self_norm), block.qkv), 3, axis=-1)
            q, k, v = (split_heads(each, self.num_heads) for each in (q, k, v))
            x += dense(merge_heads(attend(q, k, v, bias)), block.self_out)
            x += self._feed_forward(x, block)
        x = self._norm(x, self.encoder_norm)
        keys, values = [], []
        for block in self.decoder_layers:
            k, v = tf.split(dense(x, block.cross_kv), 2, axis=-1)
            keys.append(split_heads(k, self.num_heads))
            values.append(split_heads(v, self.num_heads))
        return Memory(tuple(keys), tuple(values), mask)

    def step(
        self, token_ids: tf.Tensor, position: tf.Tensor, cache: Cache, memory: Memory
    ) -> tuple[tf.Tensor, Cache]:
        # The table's last row of distances ends with 0; this step needs position..0.
        bias = self.decoder_bias[:, :, :, -1 - position :]
        x = tf.gather(self.embeddings, token_ids)[:, tf.newaxis, :]
        keys, values = [], []
        for i, block in enumerate(self.decoder_layers):
            q, k, v = tf.split(dense(self._norm(x, block.self_norm), block.qkv), 3, axis=-1)
            q, k, v = (split_heads(each, self.num_heads) for each in (q, k, v))
            k = tf.concat([cache.keys[i], k], axis=2)
            v = tf.concat([cache.values[i], v], axis=2)
            keys.append(k)
            values.append(v)
            x += dense(merge_heads(attend(q, k, v, bias)), block.self_out)
            q = split_heads(
                dense(self._norm(x, block.cross_norm), block.cross_q), self.num_heads
            )
            attended = attend(q, memory.keys[i], memory.values[i], memory.bias)
            x += dense(merge_heads(attended), block.cross_out)
            x += self._feed_forward(x, block)
        x = self._norm(x, self.decoder_norm)[:, 0, :] * self._head_scale
        logits = tf.matmul(x, self.head, transpose_b=True)
        return logits, Cache(tuple(keys), tuple(values))

    def _encoder_position_bias(self, width: tf.Tensor) -> tf.Tensor:
        positions = tf.range(width)
        distance = positions[tf.newaxis, :] - positions[:, tf.newaxis]
        centre = self.encoder_bias.shape[-1] // 2
        return tf.gather(self.encoder_bias, distance + centre, axis=1)[tf.newaxis]

    def _norm(self, x: tf.Tensor, weight: tf.Variable) -> tf.Tensor:
        variance = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return x * tf.math.rsqrt(variance + self._epsilon) * weight

    def _feed_forward(self, x: tf.Tensor, block: _Block) -> tf.Tensor:
        x = dense(self._norm(x, block.ff_norm), block.ff_in)
        if block.gated:
            x, linear = tf.split(x, 2, axis=-1)
            x = self._activation(x) * linear
        else:
            x = self._activation(x)
        return dense(x, block.ff_out)


class _Block(tf.Module):
    """One T5 layer's weights; projections that read the same input are one matrix."""

    def __init__(self, layer: tf.Module) -> None:
        super().__init__()
        attention = layer.self_attention
        self.self_norm = _frozen(layer.self_attention_layer_norm.weight)
        self.qkv = _joined(
            attention.query_projector, attention.key_projector, attention.value_projector
        )
        self.self_out = _frozen(attention.output_projector.kernel)
        if layer.is_decoder:
            cross = layer.cross_attention
            self.cross_norm = _frozen(layer.cross_attention_layer_norm.weight)
            self.cross_q = _frozen(cross.query_projector.kernel)
            self.cross_kv = _joined(cross.key_projector, cross.value_projector)
            self.cross_out = _frozen(cross.output_projector.kernel)
        self.ff_norm = _frozen(layer.layer_norm.weight)
        self.gated = layer.use_gated_activation
        self.ff_in = (
            _joined(layer.input_projector, layer.gate_projector)
            if self.gated
            else _frozen(layer.input_projector.kernel)
        )
        self.ff_out = _frozen(layer.output_projector.kernel)


def _frozen(value: tf.Tensor) -> tf.Variable:
    return tf.Variable(tf.convert_to_tensor(value), trainable=False)


def _joined(*projectors: tf.Module) -> tf.Variable:
    kernels = [tf.convert_to_tensor(projector.kernel) for projector in projectors]
    return _frozen(tf.concat(kernels, axis=1))


def _encoder_bias(backbone: keras_hub.models.T5Backbone, length: int) -> np.ndarray:
    """Bias by distance, ``[heads, 2 * length - 1]``; the middle one is distance 0."""
    table = backbone.encoder_transformer_layers[0].self_attention.compute_bias(length, length)
    table = np.asarray(table)[0]  # [heads, query, key]
    # The last query sees distances -(length-1)..0, the first one 0..length-1.
    return np.concatenate([table[:, -1, :], table[:, 0, 1:]], axis=1)


def _decoder_bias(backbone: keras_hub.models.T5Backbone, length: int) -> np.ndarray:
    """Bias of the last query over the keys up to it, ``[1, heads, 1, length]``."""
    table = backbone.decoder_transformer_layers[0].self_attention.compute_bias(length, length)
    return np.asarray(table)[:, :, -1:, :]
