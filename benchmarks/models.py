"""Models to measure: base and metered SavedModels as the pipeline exports them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.meter.executor import save_metered_model
from pipelines.exporting.base_model import export_base_model
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from pipelines.preprocessing import preprocessing_fn
from tokenizer.base import Tokenizer
from tokenizer.contract import BaseModelSpec
from tokenizer.loading import save_tokenizer

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@dataclass(frozen=True)
class Size:
    """A T5's sizes and limits.

    Attributes:
      embeddings: rows of the embedding; 0 for the tokenizer's own size.
    """

    name: str
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int
    max_input_tokens: int
    max_output_tokens: int
    embeddings: int


DEMO = Size("the demo's", 192, 768, 2, 4, 64, 18, 0)
T5_SMALL = Size("T5-small", 512, 2048, 6, 8, 511, 64, 32128)


def save_transform_graph(tokenizer: Tokenizer, directory: Path) -> Path:
    """Run Transform on one row; the folder of its SavedModel, which holds the tokenizer.

    Args:
      tokenizer: whose graph it is.
      directory: for everything that this writes.
    """
    save_tokenizer(tokenizer, directory / "tokenizer")
    row = {"document": [b"Return the name of a file."], "summary": [b"Return a name."]}
    spec = {name: tf.io.FixedLenFeature([1], tf.string) for name in row}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    function = functools.partial(
        preprocessing_fn, custom_config={"tokenizer_dir": str(directory / "tokenizer")}
    )
    with (
        beam.Pipeline(runner=RUNNER) as pipeline,
        tft_beam.Context(temp_dir=str(directory / "temporary")),
    ):
        rows = (pipeline | beam.Create([row]), metadata)
        _, transform_fn = rows | tft_beam.AnalyzeAndTransformDataset(function)
        _ = transform_fn | tft_beam.WriteTransformFn(str(directory / "transform"))
    name: str = tft.TFTransformOutput.TRANSFORM_FN_DIR
    return directory / "transform" / name


def save_models(
    size: Size, tokenizer: Tokenizer, transform_graph: Path, directory: Path
) -> tuple[Path, Path]:
    """Export a model with random weights, and the same metered.

    Its answers are as long as its limit: EOS is never written, nor an id without a text.

    Returns:
      The folders of the base and of the metered SavedModel.
    """
    architecture = Architecture(
        family="t5",
        vocabulary_size=size.embeddings or tokenizer.vocabulary_size,
        d_model=size.d_model,
        d_ff=size.d_ff,
        num_layers=size.num_layers,
        num_heads=size.num_heads,
        max_input_tokens=size.max_input_tokens,
        max_output_tokens=size.max_output_tokens,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        decoder_start_id=tokenizer.pad_id,
    )
    model = build_model(architecture)
    embeddings = model.backbone.token_embedding.embeddings
    values = np.random.default_rng(1).normal(size=embeddings.shape)
    values[[tokenizer.pad_id, tokenizer.eos_id]] = 0.0
    values[tokenizer.vocabulary_size :] = 0.0
    embeddings.assign(values)
    spec = BaseModelSpec(
        model_family="t5",
        tokenizer_kind=tokenizer.kind,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        max_input_tokens=size.max_input_tokens,
        max_output_tokens=size.max_output_tokens,
        task_prefix="",
    )
    export_base_model(
        directory / "base",
        transform_graph_dir=str(transform_graph),
        decoder=Decoder(serving_graph(model, architecture), architecture),
        detokenizer=tokenizer.graph_tokenizer(),
        spec=spec,
    )
    save_metered_model(directory / "base", directory / "metered", spec)
    return directory / "base", directory / "metered"
