"""The transform graph carries the tokenizer: alone, it gives the library's own ids."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from sentencepiece import SentencePieceProcessor
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tokenizers import ByteLevelBPETokenizer

from pipelines.preprocessing import preprocessing_fn
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.loading import save_tokenizer
from tokenizer.training import train_sentencepiece

BEAM_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
TEXTS = [
    "Reads the table when the last reader has gone.",
    "",
    " \t\n ",
    "naïve café 👩‍👩‍👧 שלום",
    "a\0b",
    "the reader " * 500,
]

# Nothing of this project and nothing of TFX: what a stock server has.
LOADER = """
import json, sys
import tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
text = tf.constant(json.load(open(sys.argv[2])))
empty = tf.fill(tf.shape(text), "")
ids = loaded.transform_fn({"document": text, "summary": empty})["document_ids"]
assert not [name for name in sys.modules if name.startswith(("tokenizer", "tfx", "pipelines"))]
print(json.dumps(tf.RaggedTensor.from_sparse(ids).to_list()))
"""


CORPUS = [f"Reads the table number {n} when the last reader has gone." for n in range(50)]


def sentencepiece_and_library(directory: Path) -> Callable[[str], list[int]]:
    """Write a tokenizer; return how its own library encodes."""
    save_tokenizer(train_sentencepiece(CORPUS, vocab_size=320), directory)
    library = SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    return lambda text: library.encode(text)


def byte_level_bpe_and_library(directory: Path) -> Callable[[str], list[int]]:
    """Write a tokenizer; return how its own library encodes."""
    save_tokenizer(train_byte_level_bpe(CORPUS, vocab_size=320), directory)
    library = ByteLevelBPETokenizer.from_file(
        str(directory / "vocab.json"), str(directory / "merges.txt")
    )
    return lambda text: library.encode(text).ids


@pytest.mark.parametrize(
    ("make_tokenizer", "sparse"),
    [
        (sentencepiece_and_library, False),
        (sentencepiece_and_library, True),
        pytest.param(byte_level_bpe_and_library, False, marks=pytest.mark.long),
    ],
    ids=["sentencepiece-dense", "sentencepiece-sparse", "byte_level_bpe-dense"],
)
def test_the_transform_graph_alone_gives_the_librarys_own_ids(
    tmp_path: Path, make_tokenizer: Callable[[Path], Callable[[str], list[int]]], sparse: bool
) -> None:
    tokenizer_dir = tmp_path / "tokenizer"
    encode = make_tokenizer(tokenizer_dir)
    feature = tf.io.VarLenFeature if sparse else lambda dtype: tf.io.FixedLenFeature([], dtype)
    metadata = dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec(
            {name: feature(tf.string) for name in ("document", "summary")}
        )
    )
    value = (lambda text: [text.encode()]) if sparse else (lambda text: text.encode())
    rows = [{"document": value(text), "summary": value("It reads.")} for text in TEXTS]
    graph_dir = tmp_path / "graph"
    with (
        beam.Pipeline(runner=BEAM_RUNNER) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path / "tmp")),
    ):
        graph = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, {"tokenizer_dir": str(tokenizer_dir)})
        )
        _ = graph | tft_beam.WriteTransformFn(str(graph_dir))
    saved = graph_dir / tft.TFTransformOutput.TRANSFORM_FN_DIR
    if sparse:
        output = tft.TFTransformOutput(str(graph_dir))
        documents = tf.RaggedTensor.from_tensor(tf.constant(TEXTS)[:, None]).to_sparse()
        ids = output.transform_raw_features({"document": documents, "summary": documents})
        received = tf.RaggedTensor.from_sparse(ids["document_ids"]).to_list()
    else:
        texts_file = tmp_path / "texts.json"
        texts_file.write_text(json.dumps(TEXTS))
        finished = subprocess.run(
            [sys.executable, "-c", LOADER, str(saved), str(texts_file)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=240,
        )
        assert finished.returncode == 0, finished.stderr
        received = json.loads(finished.stdout.splitlines()[-1])

    assert received == [encode(text) for text in TEXTS]
    assert len(received[0]) > 3
    assert len(received[-1]) > 500
