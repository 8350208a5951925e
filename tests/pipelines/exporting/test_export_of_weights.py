"""The same weights, exported with one way of decoding and with another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the SavedModel)

from pipelines.checkpoints.keras_preset import save_preset
from pipelines.checkpoints.opening import CHECKPOINT_DIR, open_checkpoint
from pipelines.config_sections import ExportConfig
from pipelines.models.architecture import Architecture, ArchitectureError
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from tests.pipelines.training.training_runs import MODEL, TransformedCorpus, export
from tokenizer.contract import TOKENIZER_DIR, BaseModelSpec
from tokenizer.loading import load_tokenizer, save_tokenizer

BEAMS: dict[str, Any] = {
    "num_beams": 3,
    "length_penalty": 2.0,
    "force_eos": True,
    "min_output_tokens": 4,
}
TEXTS = ["Then the size of that file is returned.", "", "a table of records " * 20]


@pytest.fixture(scope="module", params=["t5", pytest.param("bart", marks=pytest.mark.long)])
def trained(
    request: pytest.FixtureRequest,
    corpus: TransformedCorpus,
    tmp_path_factory: pytest.TempPathFactory,
) -> SimpleNamespace:
    """What Trainer leaves: random weights, as `run_fn` saves them."""
    directory = tmp_path_factory.mktemp(request.param) / "Format-Serving"
    tokenizer = load_tokenizer(corpus.tokenizer_dir)
    settings = MODEL | {"family": request.param, "max_input_tokens": 10}
    prefix = tuple(tokenizer.encode("Return "))
    architecture = Architecture.from_config(
        settings,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        prefix_ids=prefix,
    )
    keras.utils.set_random_seed(5)
    save_tokenizer(tokenizer, directory / TOKENIZER_DIR)
    save_preset(build_model(architecture), architecture, (), directory)
    return SimpleNamespace(serving_model_dir=str(directory), custom_config={"model": settings})


# An export takes seconds, and who reads one changes nothing.
@pytest.fixture(scope="module")
def greedy(trained: SimpleNamespace, corpus: TransformedCorpus) -> Path:
    return export(trained, corpus, "greedy")


@pytest.fixture(scope="module")
def beams(trained: SimpleNamespace, corpus: TransformedCorpus) -> Path:
    return export(trained, corpus, "beams", **BEAMS)


def answers(directory: Path) -> list[list[int]]:
    serve = tf.saved_model.load(str(directory)).signatures["serving_default"]
    rows: list[list[int]] = serve(text=tf.constant(TEXTS))["output_ids"].numpy().tolist()
    return rows


@pytest.mark.long
def test_decoding_is_the_exports_and_the_weights_are_trainings(
    trained: SimpleNamespace, greedy: Path, beams: Path
) -> None:
    assert [BaseModelSpec.load(each).num_beams for each in (greedy, beams)] == [1, 3]
    kept = [open_checkpoint(each) for each in (greedy, beams)]
    assert kept[0].identity() == kept[1].identity()
    assert kept[0].identity() == open_checkpoint(trained.serving_model_dir).identity()
    assert kept[0].generation.settings == {"max_output_tokens": 24}
    assert kept[1].generation.settings == {"max_output_tokens": 24} | BEAMS
    assert answers(greedy) != answers(beams)


@pytest.mark.long
def test_an_export_answers_as_the_decoder_of_its_own_checkpoint(
    trained: SimpleNamespace, beams: Path
) -> None:
    kept = open_checkpoint(beams)
    settings = trained.custom_config["model"] | BEAMS
    limits = {name: settings[name] for name in settings if name not in ("family", "d_ff")}
    architecture = kept.description.architecture(limits, kept.tokenizer)
    model = build_model(architecture)
    kept.load_into(model)
    ids = [kept.tokenizer.encode(text)[:10] for text in TEXTS]
    rows = tf.ragged.constant(ids, tf.int32)
    decoder = Decoder(serving_graph(model, architecture), architecture)
    written = decoder.generate(
        rows.to_tensor(), tf.cast(rows.row_lengths(), tf.int32), np.zeros(3, "int32")
    )
    assert written.numpy().tolist() == answers(beams)


@pytest.mark.long
def test_what_a_version_needs_lies_beside_the_graph(
    greedy: Path, corpus: TransformedCorpus
) -> None:
    assert not (greedy / CHECKPOINT_DIR / "assets.extra").exists()
    fingerprint = load_tokenizer(greedy / TOKENIZER_DIR).fingerprint
    assert fingerprint == load_tokenizer(corpus.tokenizer_dir).fingerprint
    decoding = json.loads((greedy / CHECKPOINT_DIR / "decoding.json").read_text())
    assert decoding["num_beams"] == 1


@pytest.mark.long
def test_a_compiled_export_says_for_which_shapes(
    trained: SimpleNamespace, corpus: TransformedCorpus
) -> None:
    settings = ExportConfig(xla=True, row_buckets=(1, 3), width_buckets=(4, 200))
    directory = export(trained, corpus, "compiled", settings=settings)
    spec = BaseModelSpec.load(directory)
    longest = 10 + 1 + len(open_checkpoint(directory).tokenizer.encode("Return "))
    assert (spec.xla_rows, spec.xla_widths) == ((1, 3), (4, longest))


@pytest.mark.long
def test_an_export_in_int8_is_small_and_compiled_for_the_same_shapes(
    trained: SimpleNamespace, corpus: TransformedCorpus
) -> None:
    def stored(directory: Path) -> int:
        return sum(file.stat().st_size for file in directory.glob("variables/*data*"))

    settings = ExportConfig(xla=True, row_buckets=(1, 3), width_buckets=(200,))
    whole = export(trained, corpus, "float32", settings=settings)
    settings = replace(settings, weights="int8")
    small = export(trained, corpus, "int8", settings=settings)
    beams = export(trained, corpus, "int8-beams", settings=settings, **BEAMS)
    assert stored(small) < 0.4 * stored(whole)
    for compiled in (small, beams):
        assert BaseModelSpec.load(compiled).xla_rows == (1, 3)
    # The weights that training may start from are those that were trained.
    assert open_checkpoint(small).identity() == open_checkpoint(whole).identity()


def test_settings_that_cannot_be_decoded_with_are_named(
    trained: SimpleNamespace, corpus: TransformedCorpus
) -> None:
    with pytest.raises(ArchitectureError, match=r"banned_ids\[0\]\[0\] must be an id"):
        export(trained, corpus, "refused", banned_ids=[[100_000]])
