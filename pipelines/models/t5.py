"""T5: the keras-hub model that is trained, and its plain graph that is served."""

from __future__ import annotations

import warnings

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import (
    MASKED,
    attend,
    dense,
    merge_heads,
    padding_bias,
    split_heads,
)
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.kernels import LayerKernels
from pipelines.models.positions import Position, bias_at, causal_bias, one_row_of
from pipelines.models.t5_stacks import KERAS_ACTIVATIONS, T5Stacks

# keras-hub names an argument of its own `mask`, which Keras takes for masking metadata. No
# layer here uses that.
warnings.filterwarnings("ignore", message=".*T5MultiHeadAttention.*input with a mask attached")


def build_t5(architecture: Architecture) -> keras_hub.models.T5Seq2SeqLM:
    """Build a T5 with random weights; by default like T5 1.0: tied, plain ReLU feed-forward.

    Its backbone is keras-hub's own if that supports the model.
    """
    settings = {
        "vocabulary_size": architecture.vocabulary_size,
        "num_layers": architecture.num_layers,
        "num_heads": architecture.num_heads,
        "hidden_dim": architecture.d_model,
        "intermediate_dim": architecture.d_ff,
        "key_value_dim": architecture.d_kv or None,
        "dropout": architecture.dropout,
        "activation": KERAS_ACTIVATIONS[architecture.activation],
        "use_gated_activation": architecture.gated,
        "layer_norm_epsilon": architecture.layer_norm_epsilon,
        "tie_embedding_weights": architecture.tied,
    }
    if architecture.bias_each_layer or architecture.decoder_layers != architecture.num_layers:
        backbone = T5Stacks(
            **settings,
            num_decoder_layers=architecture.decoder_layers,
            bias_each_layer=architecture.bias_each_layer,
        )
    else:
        backbone = keras_hub.models.T5Backbone(**settings)
    # keras-hub means a deviation of 1 and passes it as the initializer's mean: all its
    # embeddings start as nearly the same vector, and the model hardly sees its input.
    embeddings = backbone.token_embedding.embeddings
    embeddings.assign(keras.initializers.RandomNormal(stddev=1.0)(embeddings.shape))
    return keras_hub.models.T5Seq2SeqLM(backbone=backbone)


class T5Graph(Seq2SeqGraph):
    """A T5's weights, fused for decoding, with the ops that use them.

    Supports gated and plain feed-forwards, tied and untied embeddings.
    """

    def __init__(self, model: keras_hub.models.T5Seq2SeqLM, architecture: Architecture) -> None:
        super().__init__(name="t5")
        backbone = model.backbone
        self.num_decoder_layers = architecture.decoder_layers
        self.num_heads = backbone.num_heads
        self.head_dim = backbone.key_value_dim or backbone.hidden_dim // backbone.num_heads
        self._epsilon = backbone.layer_norm_epsilon
        self._activation = backbone.activation
        embedding = backbone.token_embedding
        self.embeddings = _frozen(embedding.embeddings)
        tied = backbone.tie_embedding_weights
        # Tied heads are scaled as T5 does it, and still stored apart: a product with a matrix
        # [d_model, vocabulary] takes half the time of one with its transpose.
        self.head = _frozen(
            np.asarray(embedding.embeddings).T if tied else embedding.reverse_embeddings
        )
        scale = np.float32(backbone.hidden_dim**-0.5 if tied else 1.0)
        self.decoder_norm = _frozen(scale * np.asarray(backbone.decoder_layer_norm.weight))
        encoder_norm = np.asarray(backbone.encoder_layer_norm.weight)
        self.encoder_layers, self.decoder_layers = (
            [_Block(layer, encoder_norm) for layer in layers]
            for layers in (
                backbone.encoder_transformer_layers,
                backbone.decoder_transformer_layers,
            )
        )
        # One for all layers, or one for each.
        own = slice(None) if architecture.bias_each_layer else slice(1)
        self.encoder_biases = [
            _frozen(_encoder_bias(layer, architecture.encoder_length))
            for layer in backbone.encoder_transformer_layers[own]
        ]
        self.decoder_biases = [
            _frozen(_decoder_bias(layer, architecture.decoder_length))
            for layer in backbone.decoder_transformer_layers[own]
        ]

    def encode(self, input_ids: tf.Tensor, input_length: tf.Tensor) -> Memory:
        width = tf.shape(input_ids)[1]
        mask = padding_bias(input_length, width)
        biases = [
            self._encoder_position_bias(each, width) + mask for each in self.encoder_biases
        ]
        x = tf.gather(tf.identity(self.embeddings), input_ids)
        for i, block in enumerate(self.encoder_layers):
            bias = biases[min(i, len(biases) - 1)]
            q, k, v = split_heads(dense(self._norm(x), block.qkv), self.num_heads, 3)
            x += dense(merge_heads(attend(q, k, v, bias)), block.self_out)
            x += self._feed_forward(x, block)
        x = self._norm(x)
        projected = [dense(x, block.cross_kv) for block in self.decoder_layers]
        return self._memory(projected, input_length, width)

    def step(
        self,
        token_ids: tf.Tensor,
        position: tf.Tensor,
        cache: Cache,
        memory: Memory,
        beams: int = 1,
    ) -> tuple[tf.Tensor, Cache]:
        place = self._position(position, tf.size(token_ids), cache)
        return self._step(token_ids, place, cache, memory, beams)

    def steps(
        self, token_ids: tf.Tensor, position: tf.Tensor, cache: Cache, memory: Memory
    ) -> tuple[tf.Tensor, Cache]:
        count = token_ids.shape[1]
        positions = position[:, tf.newaxis] + tf.range(count)
        place = self._position(positions, tf.size(position), cache)
        return self._step(tf.reshape(token_ids, [-1]), place, cache, memory, count)

    def _step(
        self,
        token_ids: tf.Tensor,
        place: Position,
        cache: Cache,
        memory: Memory,
        together: int,
    ) -> tuple[tf.Tensor, Cache]:
        rows = tf.size(token_ids) // place.per_row
        turned = self.is_turned and one_row_of(token_ids, place)
        biases = [
            bias_at(tf.convert_to_tensor(each), place, rows, self.num_heads)
            for each in self.decoder_biases
        ]
        x = tf.gather(tf.identity(self.embeddings), token_ids)
        layers = []
        for i, block in enumerate(self.decoder_layers):
            bias = biases[min(i, len(biases) - 1)]
            qkv = block.product("qkv", self._norm(x), turned)
            attended, layer = self._attend_to_itself(qkv, place, bias, cache.layers[i])
            layers.append(layer)
            x += block.product("self_out", attended, turned)
            q = block.product("cross_q", self._norm(x), turned)
            attended = self._attend_to_memory(q, memory, i, together)
            x += block.product("cross_out", attended, turned)
            x += self._feed_forward(x, block, turned)
        logits = dense(self._norm(x) * self.decoder_norm, self.head)
        return logits, Cache(tuple(layers))

    def read(self, token_ids: tf.Tensor, memory: Memory) -> tf.Tensor:
        biases = [causal_bias(tf.convert_to_tensor(each)) for each in self.decoder_biases]
        x = tf.gather(tf.identity(self.embeddings), token_ids)
        for i, block in enumerate(self.decoder_layers):
            bias = biases[min(i, len(biases) - 1)]
            q, k, v = split_heads(dense(self._norm(x), block.qkv), self.num_heads, 3)
            x += dense(merge_heads(attend(q, k, v, bias)), block.self_out)
            q = dense(self._norm(x), block.cross_q)
            x += dense(self._read_memory(q, memory, i), block.cross_out)
            x += self._feed_forward(x, block)
        states = tf.reshape(self._norm(x) * self.decoder_norm, [-1, x.shape[-1]])
        return dense(states, self.head)

    def _encoder_position_bias(self, bias: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        positions = tf.range(width)
        distance = positions[tf.newaxis, :] - positions[:, tf.newaxis]
        centre = bias.shape[-1] // 2
        return tf.gather(bias, distance + centre, axis=1)[tf.newaxis]

    def _norm(self, x: tf.Tensor) -> tf.Tensor:
        """RMS norm without its weight, which is part of what reads the result."""
        variance = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return x * tf.math.rsqrt(variance + self._epsilon)

    def _feed_forward(self, x: tf.Tensor, block: _Block, turned: bool = False) -> tf.Tensor:
        x = block.product("ff_in", self._norm(x), turned)
        if block.gated:
            x, linear = tf.split(x, 2, axis=-1)
            x = self._activation(x) * linear
        else:
            x = self._activation(x)
        return block.product("ff_out", x, turned)


class _Block(LayerKernels):
    """One T5 layer's weights; projections that read the same input are one matrix.

    The weight of the norm before a projection is part of that projection.
    """

    def __init__(self, layer: tf.Module, encoder_norm: np.ndarray) -> None:
        """Copy a layer; ``encoder_norm`` is the norm's weight behind the last encoder layer."""
        super().__init__()
        attention = layer.self_attention
        self.qkv = _joined(
            layer.self_attention_layer_norm.weight,
            attention.query_projector,
            attention.key_projector,
            attention.value_projector,
        )
        self.self_out = _frozen(attention.output_projector.kernel)
        if layer.is_decoder:
            cross = layer.cross_attention
            self.cross_q = _joined(
                layer.cross_attention_layer_norm.weight, cross.query_projector
            )
            self.cross_kv = _joined(encoder_norm, cross.key_projector, cross.value_projector)
            self.cross_out = _frozen(cross.output_projector.kernel)
        self.gated = layer.use_gated_activation
        gate = [layer.gate_projector] if self.gated else []
        self.ff_in = _joined(layer.layer_norm.weight, layer.input_projector, *gate)
        self.ff_out = _frozen(layer.output_projector.kernel)


def _frozen(value: object) -> tf.Variable:
    return tf.Variable(np.asarray(value), trainable=False)


def _joined(norm: object, *projectors: tf.Module) -> tf.Variable:
    """Kernels side by side, ``[d_model, out]``, for an input that the norm has not scaled."""
    kernels = np.concatenate([np.asarray(each.kernel) for each in projectors], axis=1)
    return _frozen(np.asarray(norm)[:, np.newaxis] * kernels)


def _encoder_bias(layer: tf.Module, length: int) -> np.ndarray:
    """Bias by distance, ``[heads, 2 * length - 1]``; the middle one is distance 0."""
    table = layer.self_attention.compute_bias(length, length)
    table = np.asarray(table)[0]  # [heads, query, key]
    # The last query sees distances -(length-1)..0, the first one 0..length-1.
    return np.concatenate([table[:, -1, :], table[:, 0, 1:]], axis=1)


def _decoder_bias(layer: tf.Module, length: int) -> np.ndarray:
    """Bias by distance back, ``[heads, 2 * length - 1]``: length - 1 to 0, then masked."""
    table = layer.self_attention.compute_bias(length, length)
    table = np.asarray(table)[0, :, -1, :]
    return np.pad(table, [[0, 0], [0, length - 1]], constant_values=MASKED)
