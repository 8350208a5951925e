"""Exporter's ``export_fn``: from trained weights to a base SavedModel.

``custom_config`` is a plain JSON-able dict:

- ``model``: of the config's section, what `pipelines.exporting.settings.export_part` returns;
- ``export``: the config's section;
- ``rouge_words``: of the section ``evaluation``, where ``export.weights`` is not float32.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from components.exporter.executor import ExportArguments
from pipelines.checkpoints.keras_preset import save_decoding
from pipelines.checkpoints.opening import CHECKPOINT_DIR, open_checkpoint
from pipelines.exporting.base_model import export_base_model
from pipelines.exporting.quantising import compare, variables_size
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.drafted_search import drafts_that_pay
from pipelines.models.families import build_model, serving_graph
from pipelines.models.kernels import FLOAT32, STORAGES
from pipelines.models.shapes import CompiledShapes
from tokenizer.contract import SIGNATURE_DEFAULT, SUMMARY, TOKENIZER_DIR, BaseModelSpec


def export_fn(arguments: ExportArguments) -> None:
    """Export trained weights with the decoding that the settings describe.

    The weights and the tokenizer are stored beside the graph, so that whoever has the model can
    count, or train on, with the same.

    Raises:
      CheckpointError: the trained weights cannot be read.
      ArchitectureError: the weights cannot be decoded with these settings.
    """
    settings = arguments.custom_config["model"]
    trained = open_checkpoint(arguments.trained_model_dir)
    tokenizer = trained.tokenizer
    architecture = trained.description.architecture(settings, tokenizer)
    model = build_model(architecture)
    trained.load_into(model)
    export = arguments.custom_config["export"]
    storage = STORAGES[export["weights"]]
    shapes = _compiled_shapes(export, architecture)
    graph = serving_graph(model, architecture, storage)
    drafted = export["draft_tokens"]
    decoder = Decoder(
        graph,
        architecture,
        xla=shapes,
        draft_tokens=drafts_that_pay(graph) if drafted is None else drafted,
        drafted_rows=export["drafted_rows"],
    )
    spec = BaseModelSpec(
        model_family=architecture.family,
        tokenizer_kind=tokenizer.kind,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        max_input_tokens=architecture.max_input_tokens,
        max_output_tokens=architecture.max_output_tokens,
        task_prefix=settings.get("task_prefix", ""),
        num_beams=architecture.num_beams,
        xla_rows=shapes.rows if shapes else (),
        xla_widths=shapes.widths if shapes else (),
    )
    write = partial(
        export_base_model,
        transform_graph_dir=str(arguments.transform_output / "transform_fn"),
        detokenizer=tokenizer.graph_tokenizer(),
        spec=spec,
    )
    write(arguments.base_model_dir, decoder=decoder)
    if storage is not FLOAT32:
        plain = Decoder(serving_graph(model, architecture), architecture)
        with tempfile.TemporaryDirectory() as directory:
            write(directory, decoder=plain)
            _measure_cost(arguments, Path(directory))
    shutil.copytree(
        arguments.trained_model_dir / TOKENIZER_DIR, arguments.base_model_dir / TOKENIZER_DIR
    )
    checkpoint_dir = arguments.base_model_dir / CHECKPOINT_DIR
    shutil.copytree(
        arguments.trained_model_dir,
        checkpoint_dir,
        ignore=shutil.ignore_patterns(TOKENIZER_DIR.split("/", 1)[0]),
    )
    save_decoding(architecture, checkpoint_dir)


def _measure_cost(arguments: ExportArguments, in_float32: Path) -> None:
    """Write what the export's summaries lose against the same weights in float32."""
    cost = compare(
        ((document, summary) for document, summary in arguments.held_out()),
        _summarizer(in_float32),
        _summarizer(arguments.base_model_dir),
        rouge_words=arguments.custom_config["rouge_words"],
        sizes=(variables_size(in_float32), variables_size(arguments.base_model_dir)),
    )
    if cost is None:
        logging.warning("No held-out documents: what int8 costs was not measured.")
        return
    cost.save(arguments.base_model_dir)
    logging.info("%s", cost)


def _summarizer(model_dir: Path) -> Callable[[Sequence[str]], list[str]]:
    loaded = tf.saved_model.load(str(model_dir))

    def summarize(texts: Sequence[str]) -> list[str]:
        answer = loaded.signatures[SIGNATURE_DEFAULT](text=tf.constant(list(texts)))
        summaries = answer[SUMMARY].numpy()
        return [summary.decode("utf-8") for summary in summaries]

    return summarize


def _compiled_shapes(
    export: Mapping[str, Any], architecture: Architecture
) -> CompiledShapes | None:
    """The shapes that XLA compiles; None where nothing is compiled."""
    if not export["xla"]:
        return None
    return CompiledShapes.of(architecture, export["row_buckets"], export["width_buckets"])
