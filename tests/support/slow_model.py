"""A model whose answer takes as long as the caller asks, for tests of what is under way."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


class SlowModel(tf.Module):
    """Hashes a number over and over: ``rounds`` of it take about 3 us each."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag = tag

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="rounds")])
    def work(self, rounds: tf.Tensor) -> dict[str, tf.Tensor]:
        value = tf.constant(7, tf.int64)
        for _ in tf.range(tf.reduce_max(tf.concat([rounds, [0]], 0))):
            value = (value * 6364136223846793005 + 1442695040888963407) % 1000003
        return {
            "value": tf.fill(tf.shape(rounds), value),
            "version_tag": tf.fill(tf.shape(rounds), self._tag),
        }


def export(base_path: Path, version: int) -> None:
    """Write one version; its ``version_tag`` is ``v<version>``."""
    module = SlowModel(f"v{version}")
    tf.saved_model.save(
        module, str(base_path / str(version)), signatures={"serving_default": module.work}
    )
