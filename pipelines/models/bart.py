"""BART and Pegasus: the Keras model that is trained, and its plain graph that is served."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from pipelines.models.architecture import LOGITS_BIAS, Architecture
from pipelines.models.attention import (
    MASKED,
    attend,
    dense,
    merge_heads,
    padding_bias,
    split_heads,
)
from pipelines.models.bart_stacks import BartStacks
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.kernels import LayerKernels
from pipelines.models.positions import Position, bias_at, causal_bias, one_row_of
from pipelines.models.t5_stacks import KERAS_ACTIVATIONS

_EPSILON = 1e-5  # of every layer norm of keras-hub's BartBackbone


class LogitsBias(keras.layers.Layer):
    """Adds a bias, float32 ``[vocabulary_size]``; as in Hugging Face it is not trained."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(name=LOGITS_BIAS, trainable=False, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.bias = self.add_weight(name="bias", shape=input_shape[-1:], initializer="zeros")
        self.built = True

    def call(self, logits: Any) -> Any:
        return logits + self.bias


def build_bart(architecture: Architecture) -> keras.Model:
    """Build a BART or a Pegasus with random weights; embeddings are tied.

    Its backbone is keras-hub's own if that supports the model. With scaled logits or a bias
    on them, which keras-hub's BART does not support, the model around it is a plain one.
    """
    settings: dict[str, Any] = {
        "vocabulary_size": architecture.vocabulary_size,
        "num_layers": architecture.num_layers,
        "num_heads": architecture.num_heads,
        "hidden_dim": architecture.d_model,
        "intermediate_dim": architecture.d_ff,
        "dropout": architecture.dropout,
        "max_sequence_length": architecture.max_positions or architecture.positions,
    }
    pegasus = architecture.family == "pegasus"
    own = pegasus or architecture.decoder_layers != architecture.num_layers
    if own:
        backbone = BartStacks(
            **settings,
            num_decoder_layers=architecture.decoder_layers,
            activation=KERAS_ACTIVATIONS[architecture.activation] if pegasus else "gelu",
            pegasus=pegasus,
        )
    else:
        backbone = keras_hub.models.BartBackbone(**settings)
    if not own and architecture.logits_scale == 1.0 and not architecture.logits_bias:
        return keras_hub.models.BartSeq2SeqLM(backbone=backbone)
    states = backbone(backbone.input)["decoder_sequence_output"]
    states = keras.ops.multiply(states, architecture.logits_scale)
    logits = backbone.token_embedding(states, reverse=True)
    if architecture.logits_bias:
        logits = LogitsBias()(logits)
    model = keras.Model(backbone.input, logits)
    model.backbone = backbone
    return model


class BartGraph(Seq2SeqGraph):
    """A BART's or a Pegasus's weights, fused for decoding, with the ops that use them."""

    def __init__(self, model: keras.Model, architecture: Architecture) -> None:
        super().__init__(name="bart")
        backbone = model.backbone
        self.num_decoder_layers = architecture.decoder_layers
        self.num_heads = backbone.num_heads
        self.head_dim = backbone.hidden_dim // backbone.num_heads
        weights = {variable.path: variable.numpy() for variable in backbone.weights}
        self.embeddings = _frozen(weights["token_embedding/embeddings"])
        # Apart: a product with [d_model, vocabulary] takes half the time of one with its
        # transpose.
        scale = np.float32(architecture.logits_scale)
        self.head = _frozen(scale * weights["token_embedding/embeddings"].T)
        self.logits_bias = (
            _frozen(model.get_layer(LOGITS_BIAS).bias.numpy())
            if architecture.logits_bias
            else None
        )
        self.encoder_positions = _frozen(weights["encoder_position_embedding/embeddings"])
        self.decoder_positions = _frozen(weights["decoder_position_embedding/embeddings"])
        longest = architecture.decoder_length
        self._decoder_bias = np.array([[0.0] * longest + [MASKED] * (longest - 1)], np.float32)
        self._norm_first = architecture.family == "pegasus"
        self._activation = (
            keras.activations.get(KERAS_ACTIVATIONS[architecture.activation])
            if self._norm_first
            else _gelu
        )
        self.encoder_norm = _Norm(weights, "encoder_embeddings_layer_norm")
        self.decoder_norm = _Norm(weights, "decoder_embeddings_layer_norm")
        self.encoder_layers = [
            _Block(weights, f"transformer_encoder_layer_{i}", "self_attention_layer")
            for i in range(architecture.num_layers)
        ]
        self.decoder_layers = [
            _Block(weights, f"transformer_decoder_layer_{i}", "self_attention", cross=True)
            for i in range(self.num_decoder_layers)
        ]

    def encode(self, input_ids: tf.Tensor, input_length: tf.Tensor) -> Memory:
        width = tf.shape(input_ids)[1]
        mask = padding_bias(input_length, width)
        x = tf.gather(tf.identity(self.embeddings), input_ids) + self.encoder_positions[:width]
        x = x if self._norm_first else self.encoder_norm(x)
        for block in self.encoder_layers:
            qkv = dense(self._before(block.self_norm, x), block.qkv, block.qkv_bias)
            q, k, v = split_heads(qkv, self.num_heads, 3)
            attended = merge_heads(attend(q, k, v, mask))
            out = dense(attended, block.self_out, block.self_out_bias)
            x = self._after(block.self_norm, out + x)
            x = self._feed_forward(x, block)
        x = self.encoder_norm(x) if self._norm_first else x
        projected = [
            dense(x, block.cross_kv, block.cross_kv_bias) for block in self.decoder_layers
        ]
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
        at = self.decoder_positions[position]
        return self._step(token_ids, at, place, cache, memory, beams)

    def steps(
        self, token_ids: tf.Tensor, position: tf.Tensor, cache: Cache, memory: Memory
    ) -> tuple[tf.Tensor, Cache]:
        count = token_ids.shape[1]
        positions = position[:, tf.newaxis] + tf.range(count)
        place = self._position(positions, tf.size(position), cache)
        # Positions past the table are of drafts alone.
        known = tf.minimum(tf.reshape(positions, [-1]), self.decoder_positions.shape[0] - 1)
        at = tf.gather(tf.identity(self.decoder_positions), known)
        return self._step(tf.reshape(token_ids, [-1]), at, place, cache, memory, count)

    def _step(
        self,
        token_ids: tf.Tensor,
        at: tf.Tensor,
        place: Position,
        cache: Cache,
        memory: Memory,
        together: int,
    ) -> tuple[tf.Tensor, Cache]:
        rows = tf.size(token_ids) // place.per_row
        turned = self.is_turned and one_row_of(token_ids, place)
        bias = bias_at(tf.constant(self._decoder_bias), place, rows, self.num_heads)
        x = tf.gather(tf.identity(self.embeddings), token_ids) + at
        x = x if self._norm_first else self.decoder_norm(x)
        layers = []
        for i, block in enumerate(self.decoder_layers):
            qkv = block.product("qkv", self._before(block.self_norm, x), turned)
            attended, layer = self._attend_to_itself(qkv, place, bias, cache.layers[i])
            layers.append(layer)
            out = block.product("self_out", attended, turned)
            x = self._after(block.self_norm, out + x)
            q = block.product("cross_q", self._before(block.cross_norm, x), turned)
            attended = self._attend_to_memory(q, memory, i, together)
            out = block.product("cross_out", attended, turned)
            x = self._after(block.cross_norm, out + x)
            x = self._feed_forward(x, block, turned)
        x = self.decoder_norm(x) if self._norm_first else x
        logits = dense(x, self.head, self.logits_bias)
        return logits, Cache(tuple(layers))

    def read(self, token_ids: tf.Tensor, memory: Memory) -> tf.Tensor:
        bias = causal_bias(tf.constant(self._decoder_bias))
        x = tf.gather(tf.identity(self.embeddings), token_ids)
        x += self.decoder_positions[: token_ids.shape[1]]
        x = x if self._norm_first else self.decoder_norm(x)
        for i, block in enumerate(self.decoder_layers):
            qkv = dense(self._before(block.self_norm, x), block.qkv, block.qkv_bias)
            q, k, v = split_heads(qkv, self.num_heads, 3)
            attended = merge_heads(attend(q, k, v, bias))
            out = dense(attended, block.self_out, block.self_out_bias)
            x = self._after(block.self_norm, out + x)
            q = dense(self._before(block.cross_norm, x), block.cross_q, block.cross_q_bias)
            out = dense(self._read_memory(q, memory, i), block.cross_out, block.cross_out_bias)
            x = self._after(block.cross_norm, out + x)
            x = self._feed_forward(x, block)
        x = self.decoder_norm(x) if self._norm_first else x
        return dense(tf.reshape(x, [-1, x.shape[-1]]), self.head, self.logits_bias)

    def _before(self, norm: _Norm, x: tf.Tensor) -> tf.Tensor:
        """What a block reads: a Pegasus's is normed."""
        return norm(x) if self._norm_first else x

    def _after(self, norm: _Norm, x: tf.Tensor) -> tf.Tensor:
        """A block's sum with its input: a BART's is normed."""
        return x if self._norm_first else norm(x)

    def _feed_forward(self, x: tf.Tensor, block: _Block, turned: bool = False) -> tf.Tensor:
        inner = block.product("ff_in", self._before(block.ff_norm, x), turned)
        out = block.product("ff_out", self._activation(inner), turned)
        return self._after(block.ff_norm, out + x)


class _Norm(tf.Module):
    """Layer norm over the last axis."""

    def __init__(self, weights: dict[str, np.ndarray], path: str) -> None:
        super().__init__()
        self.gamma = _frozen(weights[f"{path}/gamma"])
        self.beta = _frozen(weights[f"{path}/beta"])

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(x, axis=-1, keepdims=True)
        centred = x - mean
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        return centred * tf.math.rsqrt(variance + _EPSILON) * self.gamma + self.beta


class _Block(LayerKernels):
    """One BART layer's weights; projections that read the same input are one matrix.

    The query's scale, ``head_dim ** -0.5``, is put into its weights.
    """

    def __init__(
        self,
        weights: dict[str, np.ndarray],
        path: str,
        self_attention: str,
        cross: bool = False,
    ) -> None:
        super().__init__()
        attention = f"{path}/{self_attention}"
        self.qkv, self.qkv_bias = _joined(weights, attention, "query", "key", "value")
        self.self_out, self.self_out_bias = _output(weights, attention)
        self.self_norm = _Norm(weights, f"{path}/self_attention_layer_norm")
        if cross:
            attention = f"{path}/cross_attention"
            self.cross_q, self.cross_q_bias = _joined(weights, attention, "query")
            self.cross_kv, self.cross_kv_bias = _joined(weights, attention, "key", "value")
            self.cross_out, self.cross_out_bias = _output(weights, attention)
            self.cross_norm = _Norm(weights, f"{path}/cross_attention_layer_norm")
        intermediate = f"{path}/feedforward_intermediate_dense"
        self.ff_in = _frozen(weights[f"{intermediate}/kernel"])
        self.ff_in_bias = _frozen(weights[f"{intermediate}/bias"])
        self.ff_out = _frozen(weights[f"{path}/feedforward_output_dense/kernel"])
        self.ff_out_bias = _frozen(weights[f"{path}/feedforward_output_dense/bias"])
        self.ff_norm = _Norm(weights, f"{path}/feedforward_layer_norm")


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(x, approximate=False)


def _frozen(value: np.ndarray) -> tf.Variable:
    return tf.Variable(value, trainable=False)


def _joined(
    weights: dict[str, np.ndarray], attention: str, *names: str
) -> tuple[tf.Variable, tf.Variable]:
    """Kernels ``[d_model, heads, head_dim]`` side by side as ``[d_model, out]``, and biases."""
    kernels, biases = [], []
    for name in names:
        kernel = weights[f"{attention}/{name}/kernel"]
        bias = weights[f"{attention}/{name}/bias"]
        scale = np.float32(kernel.shape[-1] ** -0.5 if name == "query" else 1.0)
        kernels.append(scale * kernel.reshape(kernel.shape[0], -1))
        biases.append(scale * bias.reshape(-1))
    return _frozen(np.concatenate(kernels, axis=1)), _frozen(np.concatenate(biases))


def _output(weights: dict[str, np.ndarray], attention: str) -> tuple[tf.Variable, tf.Variable]:
    kernel = weights[f"{attention}/attention_output/kernel"]  # [heads, head_dim, d_model]
    return (
        _frozen(kernel.reshape(-1, kernel.shape[-1])),
        _frozen(weights[f"{attention}/attention_output/bias"]),
    )
