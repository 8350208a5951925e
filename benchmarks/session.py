"""A SavedModel's signature in TensorFlow's C++ session, which is what TF Serving runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the tokenizer's ops)
from tensorflow.core.protobuf import config_pb2


class SignatureRunner:
    """One signature, ready to be called with arrays."""

    def __init__(
        self, directory: Path, *, threads: int, signature: str = "serving_default"
    ) -> None:
        """Load the SavedModel and run its initialisers.

        Args:
          directory: of the SavedModel.
          threads: within an op, and for so many ops at a time, as the server sets both.
          signature: name of the one that is called.
        """
        graph = tf.Graph()
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(directory))
        found = loaded.signature_def[signature]
        self._inputs = list(found.inputs)
        self._outputs = list(found.outputs)
        self._call = self._session.make_callable(
            [found.outputs[name].name for name in self._outputs],
            feed_list=[found.inputs[name].name for name in self._inputs],
        )

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        """Outputs by name, for inputs by name."""
        values = self._call(*(inputs[name] for name in self._inputs))
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Give the model's memory back."""
        self._session.close()
