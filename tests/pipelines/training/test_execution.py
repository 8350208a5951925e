"""A step compiled by XLA, and layers in bfloat16: the same training, on any device."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.training.dataset import training_batches
from pipelines.training.execution import Execution
from pipelines.training.job import TrainingJob
from pipelines.training.loop import Training, train
from pipelines.training.precision import processor_has_bfloat16
from pipelines.training.settings import TrainingSettings, TrainingSettingsError

ARCHITECTURE = Architecture(
    family="t5",
    vocabulary_size=96,
    d_model=32,
    num_layers=1,
    num_heads=2,
    d_ff=64,
    dropout=0.1,
    max_input_tokens=40,
    max_output_tokens=16,
)
STEPS = 6


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rows of ids of every length that there is."""
    file = str(tmp_path_factory.mktemp("examples") / "train.gz")
    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(file, "GZIP") as writer:
        for _ in range(256):
            features = {}
            for name, most in (("document_ids", 40), ("summary_ids", 16)):
                ids = random.integers(2, 96, random.integers(1, most + 1))
                features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return file


def job(examples: str, directory: Path, **settings: Any) -> TrainingJob:
    values = {"steps": STEPS, "warmup_steps": 2, "batch_size": 4, "eval_every_steps": 3}
    return TrainingJob(
        ARCHITECTURE,
        TrainingSettings.from_config(values | settings),
        (examples,),
        (examples,),
        directory / "state",
        directory / "run",
    )


def losses(training: Training) -> list[float]:
    with training.execution.running():
        return [float(nats) / float(labels) for _, nats, labels in training.steps(0)]


@pytest.mark.long
@pytest.mark.parametrize("parts", [1, 2])
def test_a_compiled_step_is_the_step(examples: str, tmp_path: Path, parts: int) -> None:
    wanted = {"compiled": "on", "compiled_lengths": 1, "accumulate_gradients": parts}
    compiled = Training(job(examples, tmp_path, **wanted))
    assert compiled.execution == Execution(compiled=True, mixed=False, rewritten=False)
    eager = Training(job(examples, tmp_path, **wanted))
    tf.config.run_functions_eagerly(True)
    try:
        expected = losses(eager)
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(losses(compiled), expected, rtol=1e-4)
    for ours, theirs in zip(
        compiled.model.get_weights(), eager.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_compiled_batches_have_few_shapes_and_lose_no_row(examples: str) -> None:
    def shapes(lengths: int) -> set[tuple[int, int]]:
        batches = training_batches([examples], ARCHITECTURE, 4, seed=1, lengths=lengths)
        return {
            (batch["encoder_token_ids"].shape[1], batch["labels"].shape[1])
            for batch in itertools.islice(batches, 200)
        }

    assert shapes(1) == {(41, 16)}
    assert shapes(2) == {(21, 8), (21, 16), (41, 8), (41, 16)}
    assert len(shapes(12)) > 6


@pytest.mark.long
def test_bfloat16_of_a_compiled_step_is_keras_policy_and_ends_with_the_training(
    examples: str, tmp_path: Path
) -> None:
    wanted = {"precision": "bfloat16", "compiled": "on", "compiled_lengths": 1}
    mixed = Training(job(examples, tmp_path, **wanted))
    assert mixed.execution == Execution(compiled=True, mixed=True, rewritten=False)
    assert keras.config.dtype_policy().name == "float32"
    layers = mixed.model._flatten_layers()
    assert any(layer.compute_dtype == "bfloat16" for layer in layers)
    assert {variable.dtype for variable in mixed.model.weights} == {"float32"}
    float32 = Training(job(examples, tmp_path, **wanted | {"precision": "float32"}))
    ours, exact = losses(mixed), losses(float32)
    np.testing.assert_allclose(ours, exact, rtol=0.03)
    assert ours != exact, "nothing was computed in bfloat16"


@pytest.mark.long
def test_what_is_trained_in_bfloat16_is_exported_in_float32(
    examples: str, tmp_path: Path
) -> None:
    wanted = {"precision": "bfloat16", "compiled": "on", "compiled_lengths": 1}
    trained = train(job(examples, tmp_path, **wanted))
    assert trained is not None
    model, _ = trained
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("compiled", ["auto", "on", "off"])
def test_auto_compiles_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, compiled: str, has_gpu: bool
) -> None:
    devices = ["GPU:0"] if has_gpu else []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: devices)
    settings = TrainingSettings.from_config({"compiled": compiled, "precision": "bfloat16"})
    execution = Execution.of(settings)
    assert execution.compiled == (compiled == "on" or (compiled == "auto" and has_gpu))
    # Products are in bfloat16 in one way or the other, never in both.
    assert execution.mixed == (has_gpu or execution.compiled)
    assert execution.rewritten == (not execution.mixed)


def test_workers_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["GPU:0"])
    settings = TrainingSettings.from_config({"workers": 2})
    assert not Execution.of(settings).compiled
    with pytest.raises(TrainingSettingsError, match="several workers"):
        TrainingSettings.from_config({"workers": 2, "compiled": "on"})


def test_a_processor_without_bfloat16_says_so(caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainingSettings.from_config({"precision": "bfloat16", "compiled": "off"})
    with caplog.at_level(logging.WARNING):
        execution = Execution.of(settings)
    computes = execution.mixed or processor_has_bfloat16()
    assert ("computes in float32" in caplog.text) == (not computes)
