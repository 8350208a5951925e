"""A small Transform output, made by Transform's own library from made-up docstrings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from pipelines.preprocessing import preprocessing_fn
from tests.pipelines.training.training_runs import TransformedCorpus
from tests.support.made_once import made_for_all
from tokenizer.base import Tokenizer
from tokenizer.loading import save_tokenizer
from tokenizer.training import train_sentencepiece

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
PROPERTIES = ["size", "name", "colour", "length", "type", "owner", "value", "hash"]
THINGS = ["file", "list", "string", "tensor", "model", "server", "record", "table"]
VOCABULARY = 340


def pairs() -> list[dict[str, bytes]]:
    """Documents whose summary is in their second sentence."""
    return [
        {
            "document": (
                f"Looks the {thing} up first. Then the {prop} of that {thing} is returned, "
                f"and {'nothing else ' * (i % 5)}is done."
            ).encode(),
            "summary": f"Return the {prop} of a {thing}.".encode(),
            "id": f"{prop}.{thing}".encode(),
            "source": b"made up",
        }
        for i, (prop, thing) in enumerate((p, t) for p in PROPERTIES for t in THINGS)
    ]


def transformed_corpus(
    factory: pytest.TempPathFactory,
    train: Callable[[Iterable[str], int], Tokenizer] = train_sentencepiece,
) -> TransformedCorpus:
    """What Transform and TokenizerTrainer make of the pairs: once in a run, to be read."""
    root = made_for_all(
        factory, f"corpus-{train.__name__}", functools.partial(_transform, train=train)
    )
    return TransformedCorpus(
        tokenizer_dir=root / "tokenizer",
        transform_output=root / "transform",
        train_files=[str(root / "train-00000-of-00001.gz")],
        eval_files=[str(root / "eval-00000-of-00001.gz")],
    )


def _transform(root: Path, train: Callable[[Iterable[str], int], Tokenizer]) -> None:
    rows = pairs()
    texts = (row[name].decode() for row in rows for name in ("document", "summary"))
    save_tokenizer(train(texts, VOCABULARY), root / "tokenizer")
    # As SchemaGen infers it: each feature has one value.
    spec = {name: tf.io.FixedLenFeature([1], tf.string) for name in rows[0]}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    function = functools.partial(
        preprocessing_fn, custom_config={"tokenizer_dir": str(root / "tokenizer")}
    )
    # A whole document in eval that train does not have, for each property.
    splits = {
        "train": [row for i, row in enumerate(rows) if i % 9],
        "eval": [row for i, row in enumerate(rows) if i % 9 == 0],
    }
    columns = {
        split: [{name: [value] for name, value in row.items()} for row in chosen]
        for split, chosen in splits.items()
    }
    with (
        beam.Pipeline(runner=RUNNER) as pipeline,
        tft_beam.Context(temp_dir=str(root / "tmp")),
    ):
        training = (pipeline | "train" >> beam.Create(columns["train"]), metadata)
        evaluation = (pipeline | "eval" >> beam.Create(columns["eval"]), metadata)
        transformed, transform_fn = training | tft_beam.AnalyzeAndTransformDataset(function)
        _ = transform_fn | tft_beam.WriteTransformFn(str(root / "transform"))
        _write(transformed, root / "train")
        _write((evaluation, transform_fn) | tft_beam.TransformDataset(), root / "eval")


def _write(dataset: Any, prefix: Path) -> None:
    rows, metadata = dataset
    coder = tft.coders.ExampleProtoCoder(metadata.schema)
    _ = (
        rows
        | f"encode {prefix.name}" >> beam.Map(coder.encode)
        | f"write {prefix.name}"
        >> beam.io.WriteToTFRecord(str(prefix), file_name_suffix=".gz", num_shards=1)
    )
