import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.evaluation.config import EvaluationConfig

ADAPTER = TypeAdapter(EvaluationConfig)


def test_defaults_are_usable() -> None:
    assert ADAPTER.validate_python({}) == EvaluationConfig()


def test_names_every_setting_that_cannot_be_used() -> None:
    with pytest.raises(ValidationError) as error:
        ADAPTER.validate_python(
            {
                "min_rouge_l": 1.5,
                "min_share_distinct": -0.1,
                "max_examples": 0,
                "length_bucket_words": [64, 32],
                "rouge_words": "latin",
                "min_rogue_l": 0.1,
            }
        )
    assert {problem["loc"][0] for problem in error.value.errors()} == {
        "min_rouge_l",
        "min_share_distinct",
        "max_examples",
        "length_bucket_words",
        "rouge_words",
        "min_rogue_l",
    }
