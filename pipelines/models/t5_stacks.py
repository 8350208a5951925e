"""T5s that keras-hub's backbone does not support: another depth of the decoder, a bias for each
layer."""

from __future__ import annotations

from typing import Any, Final

import keras
import keras_hub
from keras_hub.src.models.t5.t5_layer_norm import T5LayerNorm
from keras_hub.src.models.t5.t5_transformer_layer import T5TransformerLayer

# Keras's activations by the names that `ACTIVATIONS` has.
KERAS_ACTIVATIONS: Final = {
    "relu": "relu",
    "gelu": "gelu",
    # A function that keras-hub has registered, so that a saved backbone can be loaded again.
    "gelu_new": keras.saving.get_registered_object("keras_hub>gelu_approximate"),
    "silu": "silu",
}


@keras.saving.register_keras_serializable("tallygraph")
class T5Stacks(keras_hub.models.Backbone):
    """A T5 made of keras-hub's own layers, with the inputs, outputs and names of `T5Backbone`.

    Its weights are initialised in the order of `T5Backbone`'s, and so to the same values.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_decoder_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
        key_value_dim: int | None = None,
        dropout: float = 0.1,
        activation: Any = "relu",
        use_gated_activation: bool = True,
        layer_norm_epsilon: float = 1e-6,
        tie_embedding_weights: bool = True,
        bias_each_layer: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        """Create the layers and the functional model.

        Args:
          num_layers, num_decoder_layers: blocks of the encoder and of the decoder.
          bias_each_layer: whether each layer has its own table of relative positions, as in
            UMT5, or all use the first one's.
          Others: see `keras_hub.models.T5Backbone`.
        """
        self.token_embedding = keras.layers.ReversibleEmbedding(
            input_dim=vocabulary_size,
            output_dim=hidden_dim,
            tie_weights=tie_embedding_weights,
            embeddings_initializer=keras.initializers.TruncatedNormal(1.0),
            dtype=dtype,
            name="token_embedding",
        )

        def stack(name: str, depth: int) -> list[T5TransformerLayer]:
            return [
                T5TransformerLayer(
                    is_decoder=name == "decoder",
                    hidden_dim=hidden_dim,
                    intermediate_dim=intermediate_dim,
                    key_value_dim=key_value_dim or hidden_dim // num_heads,
                    dropout=dropout,
                    activation=activation,
                    layer_norm_epsilon=layer_norm_epsilon,
                    num_heads=num_heads,
                    use_gated_activation=use_gated_activation,
                    use_relative_attention_bias=bias_each_layer or i == 0,
                    dtype=dtype,
                    name=f"transformer_{name}_layer_{i}",
                )
                for i in range(depth)
            ]

        def norm(name: str) -> T5LayerNorm:
            return T5LayerNorm(epsilon=layer_norm_epsilon, dtype=dtype, name=name)

        def drop(name: str) -> keras.layers.Dropout:
            return keras.layers.Dropout(dropout, dtype=dtype, name=name)

        self.encoder_embedding_dropout = drop("encoder_embedding_dropout")
        self.encoder_transformer_layers = stack("encoder", num_layers)
        self.encoder_layer_norm = norm("encoder_output_layer_norm")
        self.encoder_dropout = drop("encoder_output_dropout")
        self.decoder_embedding_dropout = drop("decoder_embedding_dropout")
        self.decoder_transformer_layers = stack("decoder", num_decoder_layers)
        self.decoder_layer_norm = norm("decoder_output_layer_norm")
        self.decoder_dropout = drop("decoder_output_dropout")
        self.bias_each_layer = bias_each_layer
        inputs = sequence_inputs()
        super().__init__(inputs, outputs=self._connect(inputs), dtype=dtype, **kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.num_layers = num_layers
        self.num_decoder_layers = num_decoder_layers
        self.num_heads = num_heads
        self.activation = keras.activations.get(activation)
        self.key_value_dim = key_value_dim
        self.dropout = dropout
        self.use_gated_activation = use_gated_activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.tie_embedding_weights = tie_embedding_weights

    def _connect(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Outputs of the inputs."""
        mask = inputs["encoder_padding_mask"][:, None, :]
        x = self.encoder_embedding_dropout(self.token_embedding(inputs["encoder_token_ids"]))
        shared = None
        for layer in self.encoder_transformer_layers:
            x, bias = layer(x, attention_mask=mask, position_bias=shared, use_causal_mask=False)
            shared = None if self.bias_each_layer else bias
        encoded = self.encoder_dropout(self.encoder_layer_norm(x))
        own_mask = inputs["decoder_padding_mask"][:, None, :]
        x = self.decoder_embedding_dropout(self.token_embedding(inputs["decoder_token_ids"]))
        shared = None
        for layer in self.decoder_transformer_layers:
            x, bias = layer(
                x,
                attention_mask=own_mask,
                position_bias=shared,
                encoder_hidden_states=encoded,
                encoder_attention_mask=mask,
                use_causal_mask=True,
            )
            shared = None if self.bias_each_layer else bias
        return {
            "encoder_sequence_output": encoded,
            "decoder_sequence_output": self.decoder_dropout(self.decoder_layer_norm(x)),
        }

    def get_config(self) -> dict[str, Any]:
        names = (
            "vocabulary_size",
            "hidden_dim",
            "intermediate_dim",
            "num_layers",
            "num_decoder_layers",
            "num_heads",
            "key_value_dim",
            "dropout",
            "use_gated_activation",
            "layer_norm_epsilon",
            "tie_embedding_weights",
            "bias_each_layer",
        )
        own = {name: getattr(self, name) for name in names}
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), **own, "activation": activation}


def sequence_inputs() -> dict[str, Any]:
    """The four inputs of every model here, int32 ``[batch, length]`` each."""
    names = (
        "encoder_token_ids",
        "encoder_padding_mask",
        "decoder_token_ids",
        "decoder_padding_mask",
    )
    return {name: keras.Input(shape=(None,), dtype="int32", name=name) for name in names}
