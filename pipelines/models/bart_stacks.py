"""BARTs that keras-hub's backbone does not support: another depth of the decoder, and
Pegasus."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import numpy.typing as npt
from keras_hub.layers import PositionEmbedding, TransformerDecoder, TransformerEncoder

from pipelines.models.t5_stacks import sequence_inputs

_EPSILON = 1e-5  # of every layer norm


def sinusoidal_positions(length: int, width: int) -> npt.NDArray[np.float32]:
    """Return Pegasus's table of positions, ``[length, width]``: first sines, then cosines."""
    frequencies = 10_000.0 ** (-2.0 * (np.arange(width) // 2) / width)
    angles = np.arange(length)[:, np.newaxis] * frequencies
    halves = [np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])]
    return np.concatenate(halves, axis=1).astype(np.float32)


@keras.saving.register_keras_serializable("tallygraph")
class BartStacks(keras_hub.models.Backbone):
    """A BART or a Pegasus made of keras-hub's own layers, with the names of `BartBackbone`."""

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_decoder_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
        dropout: float = 0.1,
        max_sequence_length: int = 1024,
        activation: Any = "gelu",
        pegasus: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        """Create the layers and the functional model.

        Args:
          num_layers, num_decoder_layers: blocks of the encoder and of the decoder.
          activation: of the feed-forward.
          pegasus: norms before each block and after the last, and none after the embedding;
            positions are sinusoidal and not trained.
          Others: see `keras_hub.models.BartBackbone`.
        """

        def initializer() -> keras.initializers.Initializer:
            return keras.initializers.TruncatedNormal(stddev=0.02)

        def norm(name: str) -> keras.layers.LayerNormalization:
            return keras.layers.LayerNormalization(
                axis=-1, epsilon=_EPSILON, dtype=dtype, name=name
            )

        def stack(kind: type[keras.layers.Layer], name: str, depth: int) -> list[Any]:
            return [
                kind(
                    num_heads=num_heads,
                    intermediate_dim=intermediate_dim,
                    activation=keras.activations.get(activation),
                    dropout=dropout,
                    layer_norm_epsilon=_EPSILON,
                    kernel_initializer=initializer(),
                    normalize_first=pegasus,
                    dtype=dtype,
                    name=f"transformer_{name}_layer_{i}",
                )
                for i in range(depth)
            ]

        def positions(name: str) -> PositionEmbedding:
            return PositionEmbedding(
                sequence_length=max_sequence_length,
                initializer=initializer(),
                trainable=not pegasus,
                dtype=dtype,
                name=name,
            )

        self.token_embedding = keras.layers.ReversibleEmbedding(
            input_dim=vocabulary_size,
            output_dim=hidden_dim,
            embeddings_initializer=initializer(),
            dtype=dtype,
            name="token_embedding",
        )
        for side, kind, depth in (
            ("encoder", TransformerEncoder, num_layers),
            ("decoder", TransformerDecoder, num_decoder_layers),
        ):
            own = {
                "position_embedding": positions(f"{side}_position_embedding"),
                "embeddings_add": keras.layers.Add(dtype=dtype, name=f"{side}_embeddings_add"),
                # Behind the embedding in a BART, behind the last block in a Pegasus.
                "embeddings_layer_norm": norm(f"{side}_embeddings_layer_norm"),
                "embeddings_dropout": keras.layers.Dropout(
                    dropout, dtype=dtype, name=f"{side}_embeddings_dropout"
                ),
                "transformer_layers": stack(kind, side, depth),
            }
            for name, layer in own.items():
                setattr(self, f"{side}_{name}", layer)
        self.pegasus = pegasus
        inputs = sequence_inputs()
        super().__init__(inputs, outputs=self._connect(inputs), dtype=dtype, **kwargs)
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_decoder_layers = num_decoder_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.max_sequence_length = max_sequence_length
        self.activation = keras.activations.get(activation)
        if pegasus:
            table = sinusoidal_positions(max_sequence_length, hidden_dim)
            for layer in (self.encoder_position_embedding, self.decoder_position_embedding):
                layer.position_embeddings.assign(table)

    def _connect(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Outputs of the inputs."""
        mask = inputs["encoder_padding_mask"]
        x = self._embedded("encoder", inputs["encoder_token_ids"])
        for layer in self.encoder_transformer_layers:
            x = layer(x, padding_mask=mask)
        encoded = self.encoder_embeddings_layer_norm(x) if self.pegasus else x
        x = self._embedded("decoder", inputs["decoder_token_ids"])
        for layer in self.decoder_transformer_layers:
            x = layer(
                decoder_sequence=x,
                encoder_sequence=encoded,
                decoder_padding_mask=inputs["decoder_padding_mask"],
                encoder_padding_mask=mask,
            )
        decoded = self.decoder_embeddings_layer_norm(x) if self.pegasus else x
        return {"encoder_sequence_output": encoded, "decoder_sequence_output": decoded}

    def _embedded(self, side: str, ids: Any) -> Any:
        tokens = self.token_embedding(ids)
        positions = getattr(self, f"{side}_position_embedding")(tokens)
        x = getattr(self, f"{side}_embeddings_add")((tokens, positions))
        if not self.pegasus:
            x = getattr(self, f"{side}_embeddings_layer_norm")(x)
        return getattr(self, f"{side}_embeddings_dropout")(x)

    def get_config(self) -> dict[str, Any]:
        names = (
            "vocabulary_size",
            "num_layers",
            "num_decoder_layers",
            "num_heads",
            "hidden_dim",
            "intermediate_dim",
            "dropout",
            "max_sequence_length",
            "pegasus",
        )
        own = {name: getattr(self, name) for name in names}
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), **own, "activation": activation}
