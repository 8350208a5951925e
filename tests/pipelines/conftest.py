"""Toy summarisers with the counting contract's signature, and documents they are right for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

# 20 words in the first sentence, of which the reference is the first 8: who answers with
# the first 8 words is right, and the first sentence alone is not.
FIRST_SENTENCE_WORDS = 20
REFERENCE_WORDS = 8
INPUT_LIMIT = 40


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a SavedModel that answers in a given manner; each is written once."""
    written: dict[str, Path] = {}

    def make(manner: str) -> Path:
        if manner not in written:
            root = tmp_path_factory.mktemp(manner)
            _save_model(manner, root / "Format-Serving")
            written[manner] = root
        return written[manner]

    return make


def _save_model(manner: str, path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(text)
        if manner == "first_words":
            answer = words[:, :REFERENCE_WORDS]
        elif manner == "fewer_words":
            answer = words[:, : REFERENCE_WORDS - 2]
        elif manner == "repeating":
            pair = words[:, :2]
            answer = tf.concat([pair] * 4, axis=1)
        elif manner == "collapsed":
            answer = tf.strings.split(tf.fill(tf.shape(text), "one answer for every text"))
        else:
            raise ValueError(manner)
        read = tf.cast(words.row_lengths(), tf.int32)
        used = tf.minimum(read, INPUT_LIMIT)
        written = tf.cast(answer.row_lengths(), tf.int32)
        return {
            "summary": tf.strings.reduce_join(answer, axis=-1, separator=" "),
            "input_tokens": used,
            "output_tokens": written,
            "total_tokens": used + written,
            "truncated_tokens": read - used,
            "finish_reason": tf.where(written >= REFERENCE_WORDS, "length", "stop"),
        }

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


@pytest.fixture(scope="session")
def toy_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """URI of an Examples artifact: 120 documents of three sources and many lengths."""
    import tensorflow as tf

    uri = tmp_path_factory.mktemp("examples")
    (uri / "Split-eval").mkdir()
    with tf.io.TFRecordWriter(
        str(uri / "Split-eval" / "data_tfrecord-00000-of-00001.gz"), "GZIP"
    ) as writer:
        for row in toy_rows(120):
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                for name, value in row.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return uri


def toy_rows(number: int) -> list[dict[str, str]]:
    """Documents of made-up words; a fixed seed."""
    rng = random.Random(20)
    rows = []
    for index in range(number):
        length = rng.choice([FIRST_SENTENCE_WORDS, 35, 90])
        words = [
            "".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(length)
        ]
        reference = " ".join(words[:REFERENCE_WORDS])
        words[FIRST_SENTENCE_WORDS - 1] += "."
        source = "alpha" if index % 2 else "beta" if index % 8 else "rare"
        rows.append(
            {
                "document": " ".join(words),
                "summary": reference,
                "id": f"doc-{index}",
                "source": source,
            }
        )
    return rows
