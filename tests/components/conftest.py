"""A corpus, its tokenizer, a base model and its metered form: real ones, made in seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tfx.types.standard_artifacts import Examples, Model

    from components.artifacts import Tokenizer as TokenizerArtifact
    from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer

# Before anything imports TensorFlow: its start-up lines hide what a failing test says.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# TFX takes seconds to import, and not every test of this folder needs it: hence the
# imports inside the fixtures.


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    from tests.components.fixture_examples import make_examples

    return make_examples(tmp_path_factory.mktemp("examples"), span=3)


@pytest.fixture(scope="session")
def tokenizer() -> SentencePieceTokenizer:
    from tests.components.fixture_examples import ROWS
    from tokenizer.training import train_sentencepiece

    # The words of the megabyte among the hard texts, so that it is not spelt letter by letter.
    fox = "The quick brown fox jumps over the lazy dog, again and again. "
    return train_sentencepiece([fox * 20, *(text for row in ROWS for text in row)], 400)


@pytest.fixture(scope="session")
def tokenizer_artifact(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: SentencePieceTokenizer
) -> TokenizerArtifact:
    from tests.components.fixture_artifacts import tokenizer_artifact_of

    return tokenizer_artifact_of(tokenizer, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def base_model(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: SentencePieceTokenizer
) -> Model:
    from tests.components.fixture_artifacts import model_artifact_in
    from tests.components.fixture_base_model import FixtureBaseModel, save_base_model

    artifact = model_artifact_in(tmp_path_factory.mktemp("base"))
    directory = Path(artifact.uri) / "Format-Serving"
    save_base_model(FixtureBaseModel(tokenizer), tokenizer, directory)
    (directory / "assets.extra" / "notes.txt").write_text("kept")
    return artifact


@pytest.fixture(scope="session")
def metered_model(
    tmp_path_factory: pytest.TempPathFactory, base_model: Model, examples: Examples
) -> Model:
    from tests.components.fixture_artifacts import meter

    return meter(base_model, examples, tmp_path_factory.mktemp("metered"))
