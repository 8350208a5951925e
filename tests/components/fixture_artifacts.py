"""Artifacts of this project's types, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from tfx.types.standard_artifacts import Examples, Model

from components.artifacts import Tokenizer as TokenizerArtifact
from components.meter.executor import Executor as MeterExecutor
from tokenizer.base import Tokenizer
from tokenizer.loading import save_tokenizer


def tokenizer_artifact_of(tokenizer: Tokenizer, directory: Path) -> TokenizerArtifact:
    artifact = TokenizerArtifact()
    artifact.uri = str(directory)
    artifact.kind = tokenizer.kind
    artifact.vocabulary_size = tokenizer.vocabulary_size
    artifact.fingerprint = tokenizer.fingerprint
    save_tokenizer(tokenizer, directory)
    return artifact


def model_artifact_in(directory: Path) -> Model:
    artifact = Model()
    artifact.uri = str(directory)
    return artifact


def meter(base_model: Model, examples: Examples, directory: Path) -> Model:
    """Meter a base model as the pipeline does."""
    artifact = model_artifact_in(directory)
    MeterExecutor().Do(
        {"model": [base_model], "examples": [examples]},
        {"metered_model": [artifact]},
        {
            "model_name": "summarizer",
            "warmup_documents": 5,
            "warmup_ids": 2_000,
            "spans": "[]",
            "code_version": "0123456789abcdef",
        },
    )
    return artifact
