"""The model that the recorded answers in ``reference/`` were taken from.

    python -m tests.support.fixture_model OUT_DIR

writes OUT_DIR/1 and OUT_DIR/2, which differ only in ``version_tag``. Nothing is random and
nothing depends on weights.

serving_default: text string [batch] ->
    upper        string  [batch]     the text in upper case
    n_bytes      int32   [batch]     length of the text in bytes
    ids          int64   [batch, 4]  first four bytes as integers, zero padded
    score        float32 [batch]     n_bytes / 3
    flag         bool    [batch]     n_bytes is even
    raw_bytes    string  [batch]     the text followed by 0xFF 0xFE (not UTF-8)
    version_tag  string  [batch]     "v1" or "v2"
pair: a float32 [batch], b float32 [batch] -> sum float32 [batch]
"""

import sys
from pathlib import Path

import tensorflow as tf

from tests.support.made_once import made_once


class FixtureModel(tf.Module):
    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag = tag

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def describe(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        n_bytes = tf.strings.length(text)
        first = tf.strings.substr(tf.strings.join([text, tf.constant("\0\0\0\0")]), 0, 4)
        return {
            "upper": tf.strings.upper(text, encoding="utf-8"),
            "n_bytes": n_bytes,
            "ids": tf.cast(tf.io.decode_raw(first, tf.uint8, fixed_length=4), tf.int64),
            "score": tf.cast(n_bytes, tf.float32) / 3.0,
            "flag": tf.equal(n_bytes % 2, 0),
            "raw_bytes": tf.strings.join([text, tf.constant(b"\xff\xfe")]),
            "version_tag": tf.fill(tf.shape(text), self._tag),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.float32, name="b"),
        ]
    )
    def add(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": a + b}


def export(base_path: Path, version: int) -> None:
    """Write one version; its ``version_tag`` is ``v<version>``."""
    _save(base_path / str(version), version)


@made_once
def _save(path: Path, version: int) -> None:
    module = FixtureModel(f"v{version}")
    tf.saved_model.save(
        module,
        str(path),
        signatures={"serving_default": module.describe, "pair": module.add},
    )


if __name__ == "__main__":
    for number in (1, 2):
        export(Path(sys.argv[1]), number)
