"""How many answers MeterValidator checks: what fits the budget, and always two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.meter_validator.budget import (
    batch_sizes,
    ids_decoded,
    limit_rows,
    within_budget,
)
from components.meter_validator.texts import NamedText

COUNTS = st.integers(0, 70)


def texts(kind: str, count: int) -> list[NamedText]:
    return [NamedText(f"{kind} {number}", b"") for number in range(count)]


def test_literal_costs() -> None:
    # Alone 2, in a batch of 2, and one text under 8 limits and one mixed one, and
    # twice a step of which nothing counts.
    assert ids_decoded(2, 10) == 10 * (2 + 2) + (10 + 1 + 2 + 5 + 9 + 10 + 10 + 10) + 10 + 2
    # 39 alone, 40 in twos, 42 in sevens, 64 in batches of 32; 8 under limits.
    assert ids_decoded(39, 10) == 10 * (39 + 40 + 42 + 64) + 8 * 57 + 2 * (10 + 1 + 2 + 10) + 2
    assert ids_decoded(0, 10) == 0


def test_batches_are_no_larger_than_the_texts_are_many() -> None:
    found = [batch_sizes(count) for count in (0, 1, 2, 5, 8, 40)]
    assert found == [(), (1,), (2,), (2, 5), (2, 7, 8), (2, 7, 32)]
    assert [limit_rows(count) for count in (0, 1, 2, 5, 16, 40)] == [0, 1, 1, 2, 8, 8]


def test_documents_and_hard_texts_take_turns_and_keep_their_order() -> None:
    chosen = within_budget(
        texts("document", 5), texts("hard", 5), budget=7_200, most=64, num_beams=4
    )
    assert [item.name for item in chosen] == [
        "document 0",
        "document 1",
        "document 2",
        "hard 0",
        "hard 1",
    ]


@given(
    documents=COUNTS,
    hard=COUNTS,
    budget=st.integers(0, 100_000),
    most=st.integers(1, 300),
    num_beams=st.integers(1, 8),
)
def test_as_many_as_the_budget_allows(
    documents: int, hard: int, budget: int, most: int, num_beams: int
) -> None:
    everything = [*texts("document", documents), *texts("hard", hard)]
    chosen = within_budget(
        texts("document", documents),
        texts("hard", hard),
        budget=budget,
        most=most,
        num_beams=num_beams,
    )
    assert [item for item in everything if item in chosen] == chosen
    assert len(chosen) >= min(2, len(everything))
    if len(chosen) > 2:
        assert ids_decoded(len(chosen), most) * num_beams <= budget
    if len(chosen) < len(everything):
        assert ids_decoded(len(chosen) + 1, most) * num_beams > budget
    if len(chosen) < min(2 * documents, 2 * hard):
        assert abs(2 * sum("hard" in item.name for item in chosen) - len(chosen)) <= 1
