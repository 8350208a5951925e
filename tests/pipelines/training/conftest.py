from __future__ import annotations

import pytest

from tests.pipelines.training.training_runs import TransformedCorpus
from tests.pipelines.transformed_corpus import transformed_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TransformedCorpus:
    return transformed_corpus(tmp_path_factory)
