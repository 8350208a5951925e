"""A model whose answer waits until a test opens its gate, for tests of what is under way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from tests.support.waiting import wait_until


class GatedModel(tf.Module):
    """Computes until a file is there, which the request names; without one, not at all."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag = tag

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="gate")])
    def work(self, gate: tf.Tensor) -> dict[str, tf.Tensor]:
        path = tf.strings.reduce_join(gate)
        closed = tf.strings.length(path) > 0
        if closed:
            tf.io.write_file(path + ".begun", "")
        turn = 0
        while closed:
            # Another pattern each time, for all that TensorFlow knows: it looks each time.
            pattern = path + ".open" + tf.strings.substr("", 0, turn)
            closed = tf.equal(tf.size(tf.io.matching_files(pattern)), 0)
            turn += 1
        with tf.control_dependencies([closed]):
            return {"version_tag": tf.fill(tf.shape(gate), self._tag)}


@dataclass(frozen=True)
class Gate:
    """Of one request: what it is asked with, whether it is computed, and when it may end.

    Attributes:
      path: goes into the request.
    """

    path: Path

    def wait_until_begun(self) -> None:
        wait_until(self.begun, f"the computation of {self.path}")

    def begun(self) -> bool:
        return self.path.with_suffix(".begun").exists()

    def open(self) -> None:
        self.path.with_suffix(".open").touch()


def export(base_path: Path, version: int) -> None:
    """Write one version; its ``version_tag`` is ``v<version>``."""
    module = GatedModel(f"v{version}")
    tf.saved_model.save(
        module, str(base_path / str(version)), signatures={"serving_default": module.work}
    )
