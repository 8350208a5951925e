"""T5: the keras-hub model that is trained, and its plain graph that is served."""

from __future__ import annotations

import warnings

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED, padding_bias
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.kernels import FLOAT32, Kernel, MakeKernel, Storage, frozen
from pipelines.models.padding import Layout
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

    def __init__(
        self,
        model: keras_hub.models.T5Seq2SeqLM,
        architecture: Architecture,
        storage: Storage = FLOAT32,
    ) -> None:
        backbone = model.backbone
        head_dim = backbone.key_value_dim or backbone.hidden_dim // backbone.num_heads
        super().__init__(architecture, storage, "t5", backbone.num_heads, head_dim)
        self._epsilon = backbone.layer_norm_epsilon
        self._activation = self.arithmetic.activation(architecture.activation)
        embedding = backbone.token_embedding
        self.embeddings = storage.table(np.asarray(embedding.embeddings))
        tied = backbone.tie_embedding_weights
        self.head = (
            self.embeddings.head(np.float32(1.0))
            if tied
            else storage.kernel(np.asarray(embedding.reverse_embeddings))
        )
        # The states before a tied head are scaled, as T5 does it.
        scale = np.float32(backbone.hidden_dim**-0.5 if tied else 1.0)
        self.decoder_norm = frozen(scale * np.asarray(backbone.decoder_layer_norm.weight))
        encoder_norm = np.asarray(backbone.encoder_layer_norm.weight)
        self.encoder_layers, self.decoder_layers = (
            [_Block(layer, encoder_norm, storage.kernel) for layer in layers]
            for layers in (
                backbone.encoder_transformer_layers,
                backbone.decoder_transformer_layers,
            )
        )
        # One for all layers, or one for each.
        own = slice(None) if architecture.bias_each_layer else slice(1)
        self.encoder_biases = [
            frozen(_encoder_bias(layer, architecture.encoder_length))
            for layer in backbone.encoder_transformer_layers[own]
        ]
        self.decoder_biases = [
            frozen(_decoder_bias(layer, architecture.decoder_length))
            for layer in backbone.decoder_transformer_layers[own]
        ]

    def encoded(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, layout: Layout
    ) -> tf.Tensor:
        width = tf.shape(input_ids)[1]
        mask = padding_bias(input_length, width)
        biases = [
            self._encoder_position_bias(each, width) + mask for each in self.encoder_biases
        ]
        x = self.embeddings(layout.cut(input_ids))
        for i, block in enumerate(self.encoder_layers):
            bias = biases[min(i, len(biases) - 1)]
            qkv = layout.padded(block.qkv(self._norm(x)))
            x += block.self_out(layout.cut(self._attend(qkv, bias, mask)))
            x += self._feed_forward(x, block)
        return self._norm(x)

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
        one_row = one_row_of(token_ids, place)
        biases = [
            bias_at(tf.convert_to_tensor(each), place, rows, self.num_heads)
            for each in self.decoder_biases
        ]
        x = self.embeddings(token_ids)
        layers = []
        for i, block in enumerate(self.decoder_layers):
            bias = biases[min(i, len(biases) - 1)]
            qkv = block.qkv(self._norm(x), one_row)
            attended, layer = self._attend_to_itself(qkv, place, bias, cache.layers[i])
            layers.append(layer)
            x += block.self_out(attended, one_row)
            q = block.cross_q(self._norm(x), one_row)
            attended = self._attend_to_memory(q, memory, i, together)
            x += block.cross_out(attended, one_row)
            x += self._feed_forward(x, block, one_row)
        logits = self.head(self._norm(x) * self.decoder_norm)
        return logits, Cache(tuple(layers))

    def read(self, token_ids: tf.Tensor, memory: Memory) -> tf.Tensor:
        biases = [causal_bias(tf.convert_to_tensor(each)) for each in self.decoder_biases]
        x = self.embeddings(token_ids)
        for i, block in enumerate(self.decoder_layers):
            bias = biases[min(i, len(biases) - 1)]
            x += block.self_out(self._attend(block.qkv(self._norm(x)), bias))
            q = block.cross_q(self._norm(x))
            x += block.cross_out(self._read_memory(q, memory, i))
            x += self._feed_forward(x, block)
        states = tf.reshape(self._norm(x) * self.decoder_norm, [-1, x.shape[-1]])
        return self.head(states)

    def _encoder_position_bias(self, bias: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        positions = tf.range(width)
        distance = positions[tf.newaxis, :] - positions[:, tf.newaxis]
        centre = bias.shape[-1] // 2
        return tf.gather(bias, distance + centre, axis=1)[tf.newaxis]

    def _norm(self, x: tf.Tensor) -> tf.Tensor:
        """RMS norm without its weight, which is part of what reads the result."""
        return self.arithmetic.rms_norm(x, self._epsilon)

    def _feed_forward(self, x: tf.Tensor, block: _Block, one_row: bool = False) -> tf.Tensor:
        x = block.ff_in(self._norm(x), one_row)
        if block.gated:
            x, linear = tf.split(x, 2, axis=-1)
            x = self._activation(x) * linear
        else:
            x = self._activation(x)
        return block.ff_out(x, one_row)


class _Block(tf.Module):
    """One T5 layer's weights; projections that read the same input are one matrix.

    The weight of the norm before a projection is part of that projection.
    """

    def __init__(self, layer: tf.Module, encoder_norm: np.ndarray, kernel: MakeKernel) -> None:
        """Copy a layer; ``encoder_norm`` is the norm's weight behind the last encoder layer."""
        super().__init__()

        def joined(norm: object, *projectors: tf.Module) -> Kernel:
            return kernel(_joined(norm, *projectors))

        def output(projector: tf.Module) -> Kernel:
            return kernel(np.asarray(projector.kernel))

        attention = layer.self_attention
        self.qkv = joined(
            layer.self_attention_layer_norm.weight,
            attention.query_projector,
            attention.key_projector,
            attention.value_projector,
        )
        self.self_out = output(attention.output_projector)
        if layer.is_decoder:
            cross = layer.cross_attention
            self.cross_q = joined(
                layer.cross_attention_layer_norm.weight, cross.query_projector
            )
            self.cross_kv = joined(encoder_norm, cross.key_projector, cross.value_projector)
            self.cross_out = output(cross.output_projector)
        self.gated = layer.use_gated_activation
        gate = [layer.gate_projector] if self.gated else []
        self.ff_in = joined(layer.layer_norm.weight, layer.input_projector, *gate)
        self.ff_out = output(layer.output_projector)


def _joined(norm: object, *projectors: tf.Module) -> np.ndarray:
    """Kernels side by side, ``[d_model, out]``, for an input that the norm has not scaled."""
    kernels = np.concatenate([np.asarray(each.kernel) for each in projectors], axis=1)
    joined: np.ndarray = np.asarray(norm)[:, np.newaxis] * kernels
    return joined


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
