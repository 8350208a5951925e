"""What a row may write: least lengths, banned ids, repeats that weigh less, a forced EOS.

That each of them is what transformers does is shown by the recipes of
`tests/pipelines/checkpoints/test_parity.py`; here are the cases at their edges.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.models.architecture import Architecture, ArchitectureError
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph

PAD, EOS, LIMIT, ROWS = 0, 1, 8, 64


class Subject:
    """A small random T5 that ends most rows early, decoded in several ways."""

    def __init__(self) -> None:
        self.architecture = Architecture(
            family="t5",
            vocabulary_size=24,
            d_model=16,
            num_layers=1,
            num_heads=2,
            d_ff=24,
            max_input_tokens=6,
            max_output_tokens=LIMIT,
        )
        self.model = build_model(self.architecture)
        random = np.random.default_rng(4)
        for variable in self.model.backbone.weights:
            wide = variable.path.endswith("kernel") or "token_embedding" in variable.path
            variable.assign(random.normal(0, 0.8 if wide else 0.2, variable.shape))
        embeddings = self.model.backbone.token_embedding.embeddings
        values = embeddings.numpy()
        values[EOS] *= 2.0
        embeddings.assign(values)
        self.ids = random.integers(3, 24, (ROWS, 6)).astype("int32")

    @functools.cache  # noqa: B019  (it takes seconds to trace one)
    def decoder(self, architecture: Architecture) -> Decoder:
        return Decoder(serving_graph(self.model, architecture), architecture)

    def answers(self, limit: int = 0, **settings: Any) -> list[list[int]]:
        decoder = self.decoder(replace(self.architecture, **settings))
        lengths, limits = np.full(ROWS, 6, "int32"), np.full(ROWS, limit, "int32")
        written = decoder.generate(self.ids, lengths, limits).numpy().tolist()
        return [[each for each in row if each != PAD] for row in written]


# Its rules are beam search's too, which takes twice as long to build.
BEAMS = [1, pytest.param(3, marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject()


@pytest.mark.parametrize("beams", BEAMS)
def test_a_least_length(subject: Subject, beams: int) -> None:
    free = subject.answers(num_beams=beams)
    assert min(map(len, free)) < 5, "no row ends early"
    for row in subject.answers(num_beams=beams, min_output_tokens=5):
        assert len([each for each in row if each != EOS]) >= 5
    # The limit of a row's own comes before its least length.
    for row in subject.answers(limit=3, num_beams=beams, min_output_tokens=5):
        assert len(row) == 3
        assert EOS not in row


@pytest.mark.parametrize("beams", BEAMS)
def test_banned_ids_and_sequences(subject: Subject, beams: int) -> None:
    free = subject.answers(num_beams=beams)
    pair = min(pair for row in free for pair in itertools.pairwise(row) if EOS not in pair)
    for row in subject.answers(num_beams=beams, banned_ids=(pair,)):
        assert pair not in set(itertools.pairwise(row))
    single = min(each for row in free for each in row if each != EOS)
    for row in subject.answers(num_beams=beams, banned_ids=((single,), (3, 4, 5))):
        assert single not in row


def test_a_high_penalty_writes_nothing_twice(subject: Subject) -> None:
    free = subject.answers(min_output_tokens=LIMIT)
    assert any(len(set(row)) < len(row) for row in free)
    # Logits stand on both sides of 0: divided there, multiplied here.
    weighed = subject.answers(min_output_tokens=LIMIT, repetition_penalty=100.0)
    assert sum(len(row) - len(set(row)) for row in weighed) < sum(
        len(row) - len(set(row)) for row in free
    )


@pytest.mark.parametrize("beams", BEAMS)
def test_a_forced_eos_is_not_returned_and_ends_at_the_models_own_limit_only(
    subject: Subject, beams: int
) -> None:
    free = subject.answers(num_beams=beams)
    forced = subject.answers(num_beams=beams, force_eos=True)
    assert any(len(row) == LIMIT and EOS not in row for row in free)
    for row in forced:
        # Either it ended by itself, or it has all ids that it may have and no EOS.
        assert row[-1] == EOS or len(row) == LIMIT
        assert len(row) <= LIMIT
    # It decides between beams only, and what a limit of a row's own cuts off has none.
    if beams == 1:
        assert forced == free
    limited = subject.answers(limit=3, num_beams=beams, force_eos=True)
    assert limited == subject.answers(limit=3, num_beams=beams)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"min_output_tokens": LIMIT + 1},
            "min_output_tokens must be 0 to",
        ),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0"),
        ({"banned_ids": ((EOS,),)}, "not EOS"),
        ({"banned_ids": ((),)}, "sequences of at least one id"),
        ({"banned_ids": ((3, 24),)}, r"banned_ids\[0\]\[1\] must be an id .*Received: 24"),
        ({"num_decoder_layers": -1}, "num_decoder_layers must be 0"),
    ],
)
def test_what_cannot_be_is_refused(
    subject: Subject, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        replace(subject.architecture, **settings)


def test_lists_out_of_json_are_taken(subject: Subject) -> None:
    architecture = replace(subject.architecture, banned_ids=[[5], [7, 9]])  # type: ignore[arg-type]
    assert architecture.banned_ids == ((5,), (7, 9))
