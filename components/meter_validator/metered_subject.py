"""The model under test, called through its signatures as a server calls them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the tokenizer's ops before the model is loaded)

from components.meter_validator.check import AnswerError
from tokenizer import contract

# One row: output name → value (bytes or int).
Row = dict[str, Any]

_Item = TypeVar("_Item")

# A batch that nothing but memory limits: counting is cheap.
_COUNT_BATCH = 512


class MeteredSubject:
    """A metered SavedModel in this process."""

    def __init__(self, directory: Path):
        """Load it.

        Raises:
          whatever TensorFlow raises if the model cannot be loaded, which can be of many types.
        """
        # Signatures hold their model by a weak reference only.
        self._loaded = tf.saved_model.load(str(directory))

    def answer(self, texts: Sequence[bytes]) -> list[Row]:
        """Return the rows of `serving_default`, one for each text.

        Raises:
          tf.errors.OpError: the model fails.
          AnswerError: an output does not have one value for each text.
        """
        return self._rows(contract.SIGNATURE_DEFAULT, texts)

    def answer_within(self, texts: Sequence[bytes], limits: Sequence[int]) -> list[Row]:
        """Return the rows of `summarize`, one for each text; see `answer`."""
        tensor = tf.constant(list(limits), tf.int32, [len(limits)])
        return self._rows(
            contract.SIGNATURE_SUMMARIZE, texts, {contract.INPUT_MAX_OUTPUT_TOKENS: tensor}
        )

    def count(self, texts: Sequence[bytes]) -> list[Row]:
        """Return the rows of `count_tokens`, one for each text, computed in batches; see
        `answer`."""
        return [
            row
            for batch in batches(texts, _COUNT_BATCH)
            for row in self._rows(contract.SIGNATURE_COUNT_TOKENS, batch)
        ]

    def _rows(
        self, signature: str, texts: Sequence[bytes], more: dict[str, tf.Tensor] | None = None
    ) -> list[Row]:
        text = tf.constant(list(texts), tf.string, [len(texts)])
        outputs = self._loaded.signatures[signature](
            **{contract.INPUT_TEXT: text, **(more or {})}
        )
        columns = {name: value.numpy() for name, value in outputs.items()}
        for name, column in columns.items():
            if np.shape(column) != (len(texts),):
                raise AnswerError(
                    f"{name} must have one value for each of {len(texts)} texts. Received "
                    f"the shape {np.shape(column)}"
                )
        values = {name: column.tolist() for name, column in columns.items()}
        return [
            {name: column[row] for name, column in values.items()} for row in range(len(texts))
        ]


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield consecutive parts of `size`; the last may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
