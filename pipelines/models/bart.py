"""BART and Pegasus: the Keras model that is trained, and its plain graph that is served."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from pipelines.models.architecture import LOGITS_BIAS, Architecture
from pipelines.models.arithmetic import Arithmetic
from pipelines.models.attention import MASKED, padding_bias
from pipelines.models.bart_stacks import BartStacks
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.kernels import FLOAT32, Kernel, MakeKernel, Matrix, Storage, frozen
from pipelines.models.padding import Layout
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

    def __init__(
        self, model: keras.Model, architecture: Architecture, storage: Storage = FLOAT32
    ) -> None:
        backbone = model.backbone
        heads = backbone.num_heads
        super().__init__(architecture, storage, "bart", heads, backbone.hidden_dim // heads)
        weights = {variable.path: variable.numpy() for variable in backbone.weights}
        self.embeddings = storage.table(weights["token_embedding/embeddings"])
        self.head = self.embeddings.head(
            np.float32(architecture.logits_scale),
            model.get_layer(LOGITS_BIAS).bias.numpy() if architecture.logits_bias else None,
        )
        self.encoder_positions = frozen(weights["encoder_position_embedding/embeddings"])
        self.decoder_positions = frozen(weights["decoder_position_embedding/embeddings"])
        longest = architecture.decoder_length
        self._decoder_bias = np.array([[0.0] * longest + [MASKED] * (longest - 1)], np.float32)
        self._norm_first = architecture.family == "pegasus"
        self._activation = self.arithmetic.activation(
            architecture.activation if self._norm_first else "gelu"
        )
        made_of = (weights, storage.kernel, self.arithmetic)
        self.encoder_norm = _Norm(weights, "encoder_embeddings_layer_norm", self.arithmetic)
        self.decoder_norm = _Norm(weights, "decoder_embeddings_layer_norm", self.arithmetic)
        self.encoder_layers = [
            _Block(*made_of, f"transformer_encoder_layer_{i}")
            for i in range(architecture.num_layers)
        ]
        self.decoder_layers = [
            _Block(*made_of, f"transformer_decoder_layer_{i}", decodes=True)
            for i in range(self.num_decoder_layers)
        ]

    def encoded(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, layout: Layout
    ) -> tf.Tensor:
        mask = padding_bias(input_length, tf.shape(input_ids)[1])
        x = self.embeddings(layout.cut(input_ids)) + layout.at_positions(self.encoder_positions)
        x = x if self._norm_first else self.encoder_norm(x)
        for block in self.encoder_layers:
            qkv = layout.padded(block.qkv(self._before(block.self_norm, x)))
            out = block.self_out(layout.cut(self._attend(qkv, mask)))
            x = self._after(block.self_norm, out + x)
            x = self._feed_forward(x, block)
        return self.encoder_norm(x) if self._norm_first else x

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
        one_row = one_row_of(token_ids, place)
        bias = bias_at(tf.constant(self._decoder_bias), place, rows, self.num_heads)
        x = self.embeddings(token_ids) + at
        x = x if self._norm_first else self.decoder_norm(x)
        layers = []
        for i, block in enumerate(self.decoder_layers):
            qkv = block.qkv(self._before(block.self_norm, x), one_row)
            attended, layer = self._attend_to_itself(qkv, place, bias, cache.layers[i])
            layers.append(layer)
            out = block.self_out(attended, one_row)
            x = self._after(block.self_norm, out + x)
            q = block.cross_q(self._before(block.cross_norm, x), one_row)
            attended = self._attend_to_memory(q, memory, i, together)
            out = block.cross_out(attended, one_row)
            x = self._after(block.cross_norm, out + x)
            x = self._feed_forward(x, block, one_row)
        x = self.decoder_norm(x) if self._norm_first else x
        return self.head(x), Cache(tuple(layers))

    def read(self, token_ids: tf.Tensor, memory: Memory) -> tf.Tensor:
        bias = causal_bias(tf.constant(self._decoder_bias))
        x = self.embeddings(token_ids)
        x += self.decoder_positions[: token_ids.shape[1]]
        x = x if self._norm_first else self.decoder_norm(x)
        for i, block in enumerate(self.decoder_layers):
            qkv = block.qkv(self._before(block.self_norm, x))
            out = block.self_out(self._attend(qkv, bias))
            x = self._after(block.self_norm, out + x)
            q = block.cross_q(self._before(block.cross_norm, x))
            out = block.cross_out(self._read_memory(q, memory, i))
            x = self._after(block.cross_norm, out + x)
            x = self._feed_forward(x, block)
        x = self.decoder_norm(x) if self._norm_first else x
        return self.head(tf.reshape(x, [-1, x.shape[-1]]))

    def _before(self, norm: _Norm, x: tf.Tensor) -> tf.Tensor:
        """What a block reads: a Pegasus's is normed."""
        return norm(x) if self._norm_first else x

    def _after(self, norm: _Norm, x: tf.Tensor) -> tf.Tensor:
        """A block's sum with its input: a BART's is normed."""
        return x if self._norm_first else norm(x)

    def _feed_forward(self, x: tf.Tensor, block: _Block, one_row: bool = False) -> tf.Tensor:
        inner = block.ff_in(self._before(block.ff_norm, x), one_row)
        out = block.ff_out(self._activation(inner), one_row)
        return self._after(block.ff_norm, out + x)


class _Norm(tf.Module):
    """Layer norm over the last axis."""

    def __init__(
        self, weights: dict[str, np.ndarray], path: str, arithmetic: Arithmetic
    ) -> None:
        super().__init__()
        self._arithmetic = arithmetic
        self.gamma = frozen(weights[f"{path}/gamma"])
        self.beta = frozen(weights[f"{path}/beta"])

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self._arithmetic.layer_norm(x, self.gamma, self.beta, _EPSILON)


class _Block(tf.Module):
    """One BART layer's weights; projections that read the same input are one matrix.

    The query's scale, ``head_dim ** -0.5``, is put into its weights.
    """

    def __init__(
        self,
        weights: dict[str, np.ndarray],
        kernel: MakeKernel,
        arithmetic: Arithmetic,
        path: str,
        decodes: bool = False,
    ) -> None:
        """Copy the weights of the layer at ``path``; ``decodes``: one of the decoder's."""
        super().__init__()

        def joined(attention: str, *names: str) -> Kernel:
            return kernel(*_joined(weights, f"{path}/{attention}", *names))

        def output(attention: str) -> Kernel:
            matrix, bias = _weights_of(weights, f"{path}/{attention}/attention_output")
            return kernel(matrix.reshape(-1, matrix.shape[-1]), bias)

        def norm(name: str) -> _Norm:
            return _Norm(weights, f"{path}/{name}", arithmetic)

        attention = "self_attention" if decodes else "self_attention_layer"
        self.qkv = joined(attention, "query", "key", "value")
        self.self_out = output(attention)
        self.self_norm = norm("self_attention_layer_norm")
        if decodes:
            self.cross_q = joined("cross_attention", "query")
            self.cross_kv = joined("cross_attention", "key", "value")
            self.cross_out = output("cross_attention")
            self.cross_norm = norm("cross_attention_layer_norm")
        self.ff_in = kernel(*_weights_of(weights, f"{path}/feedforward_intermediate_dense"))
        self.ff_out = kernel(*_weights_of(weights, f"{path}/feedforward_output_dense"))
        self.ff_norm = norm("feedforward_layer_norm")


def _weights_of(weights: dict[str, np.ndarray], path: str) -> tuple[Matrix, Matrix]:
    """A projection's kernel and bias."""
    return weights[f"{path}/kernel"], weights[f"{path}/bias"]


def _joined(
    weights: dict[str, np.ndarray], attention: str, *names: str
) -> tuple[Matrix, Matrix]:
    """Kernels ``[d_model, heads, head_dim]`` side by side as ``[d_model, out]``, and biases."""
    kernels, biases = [], []
    for name in names:
        kernel, bias = _weights_of(weights, f"{attention}/{name}")
        scale = np.float32(kernel.shape[-1] ** -0.5 if name == "query" else 1.0)
        kernels.append(scale * kernel.reshape(kernel.shape[0], -1))
        biases.append(scale * bias.reshape(-1))
    return np.concatenate(kernels, axis=1), np.concatenate(biases)
