"""Transformed examples to batches: what goes where, what is cut, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.architecture import Architecture
from pipelines.training.dataset import bucket_lengths, training_batches, validation_batches

EOS = 1


def small(**changes: Any) -> Architecture:
    values: dict[str, Any] = {
        "family": "t5",
        "vocabulary_size": 50,
        "d_model": 8,
        "num_layers": 1,
        "num_heads": 1,
        "d_ff": 8,
        "max_input_tokens": 10,
        "max_output_tokens": 6,
    }
    return Architecture(**(values | changes))


def write_examples(path: Path, rows: list[tuple[list[int], list[int]]]) -> list[str]:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for document, summary in rows:
            features = {"document_ids": document, "summary_ids": summary}
            example = tf.train.Example(
                features=tf.train.Features(
                    feature={
                        name: tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
                        for name, ids in features.items()
                    }
                )
            )
            writer.write(example.SerializeToString())
    return [str(path)]


def rows_of(batches: tf.data.Dataset) -> list[tuple[list[int], list[int], list[int]]]:
    """Encoder ids, decoder ids and labels of each row, without padding."""
    rows = []
    for batch in batches.as_numpy_iterator():
        for i in range(len(batch["labels"])):
            read = batch["encoder_padding_mask"][i].astype(bool)
            written = batch["decoder_padding_mask"][i].astype(bool)
            rows.append(
                (
                    batch["encoder_token_ids"][i][read].tolist(),
                    batch["decoder_token_ids"][i][written].tolist(),
                    batch["labels"][i][written].tolist(),
                )
            )
    return rows


def test_a_batch_literally(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "a", [([5, 6, 7], [8, 9]), ([10], [11, 12, 13])])
    (batch,) = validation_batches(
        files, small(prefix_ids=(3,)), batch_size=2, limit=10
    ).as_numpy_iterator()
    assert {name: value.tolist() for name, value in batch.items()} == {
        "encoder_token_ids": [[3, 5, 6, 7, 1, 0, 0, 0], [3, 10, 1, 0, 0, 0, 0, 0]],
        "encoder_padding_mask": [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]],
        "decoder_token_ids": [[0, 8, 9, 1], [0, 11, 12, 13]],
        "decoder_padding_mask": [[1, 1, 1, 0], [1, 1, 1, 1]],
        "labels": [[8, 9, 1, 0], [11, 12, 13, 1]],
    }


def test_what_does_not_fit_is_cut_off_at_the_end(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "a", [(list(range(20, 40)), list(range(10, 20)))])
    (row,) = rows_of(validation_batches(files, small(), batch_size=1, limit=10))
    # The summary's EOS is cut off with the rest: the model must not learn to stop there.
    assert row == (
        [*range(20, 30), EOS],
        [0, 10, 11, 12, 13, 14],
        [10, 11, 12, 13, 14, 15],
    )


def test_a_summary_one_shorter_than_the_limit_keeps_its_eos(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "a", [([5], [10, 11, 12, 13, 14])])
    (row,) = rows_of(validation_batches(files, small(), batch_size=1, limit=10))
    assert row[2] == [10, 11, 12, 13, 14, EOS]


def test_empty_texts_are_rows_of_eos(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "a", [([], [])])
    assert rows_of(validation_batches(files, small(), batch_size=1, limit=10)) == [
        ([EOS], [0], [EOS])
    ]


def numbered(count: int) -> list[tuple[list[int], list[int]]]:
    """Rows of all lengths that can be told apart."""
    random = np.random.default_rng(0)
    return [
        ([3 + i % 47] * random.integers(1, 14), [3 + i // 47] * random.integers(1, 8))
        for i in range(count)
    ]


def test_validation_reads_each_example_once_and_no_more_than_asked(tmp_path: Path) -> None:
    rows = numbered(60)
    files = write_examples(tmp_path / "a", rows)
    read = rows_of(validation_batches(files, small(), batch_size=8, limit=50))
    expected = [
        ([*document[:10], EOS], ([*summary, EOS])[:6]) for document, summary in rows[:50]
    ]
    assert sorted((encoder, labels) for encoder, _, labels in read) == sorted(expected)


def test_training_goes_on_for_ever_in_full_batches_that_the_seed_determines(
    tmp_path: Path,
) -> None:
    files = write_examples(tmp_path / "a", numbered(40))

    def read(seed: int) -> list[tuple[list[int], list[int], list[int]]]:
        batches = training_batches(files, small(), batch_size=4, seed=seed).take(60)
        assert all(len(batch["labels"]) == 4 for batch in batches)
        return rows_of(batches)

    rows = read(1)
    assert rows == read(1)
    assert rows != read(2)
    # 240 rows of 40 different ones: six times around, less what waits in the buckets.
    assert min(rows.count(row) for row in rows) >= 3


def test_training_skips_to_where_it_was(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "a", numbered(40))
    batches = training_batches(files, small(), batch_size=4, seed=1)
    assert rows_of(batches.skip(25).take(5)) == rows_of(batches.take(30))[100:]


@given(st.integers(1, 600), st.integers(1, 16))
def test_buckets_rise_to_the_longest_row(longest: int, narrowest: int) -> None:
    lengths = bucket_lengths(longest, narrowest)
    assert lengths[-1] == longest
    assert lengths == sorted(set(lengths))
    assert len(lengths) <= 13


@pytest.mark.parametrize("length", [1, 8, 9, 11])
def test_a_row_is_padded_to_its_bucket(tmp_path: Path, length: int) -> None:
    files = write_examples(tmp_path / "a", [([5] * (length - 1), [6])])
    (batch,) = validation_batches(files, small(), 1, 1).as_numpy_iterator()
    assert batch["encoder_token_ids"].shape == (1, 8 if length <= 8 else 11)


def test_leads_come_first_and_grow_rare_as_the_steps_go_by(tmp_path: Path) -> None:
    rows = [([10 + i, 20, 30, 40, 45, 46, 47], [5, 6]) for i in range(8)]
    files = write_examples(tmp_path / "rows.gz", rows)
    batches = training_batches(files, small(), batch_size=4, seed=3, lead_steps=100)

    seen = rows_of(batches.take(150))
    is_lead = [labels == [*encoder[:5], EOS] for encoder, _, labels in seen]

    for (_, _, labels), lead in zip(seen, is_lead, strict=True):
        assert lead or labels == [5, 6, EOS]
    assert sum(is_lead[:40]) > 30
    assert 140 < sum(is_lead[:400]) < 260
    assert not any(is_lead[420:])


def test_a_share_of_later_rows_has_leads_as_the_seed_decides(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "rows.gz", [([10, 20, 30], [5, 6])] * 8)

    def labels(seed: int) -> list[list[int]]:
        batches = training_batches(files, small(), batch_size=4, seed=seed, lead_share=0.25)
        return [labels for _, _, labels in rows_of(batches.take(50))]

    share = labels(3).count([10, 20, 30, EOS]) / 200

    assert 0.15 < share < 0.35
    assert labels(3).count([5, 6, EOS]) == 200 - round(share * 200)
    assert labels(3) == labels(3)
    assert labels(3) != labels(4)


def test_pairs_below_the_overlap_are_not_trained_on(tmp_path: Path) -> None:
    half = ([10, 11, 12], [10, 7])
    none = ([10, 11, 12], [8, 7])
    cut_off = ([*range(10, 20), 30], [30, 31])  # its only common id is not read
    empty: tuple[list[int], list[int]] = ([10, 11], [])
    files = write_examples(tmp_path / "rows.gz", [half, none, cut_off, empty])
    batches = training_batches(files, small(), batch_size=2, seed=3, min_overlap=0.5)

    labels = [labels for _, _, labels in rows_of(batches.take(5))]

    assert labels == [[10, 7, EOS]] * 10


def test_a_forced_eos_is_no_label(tmp_path: Path) -> None:
    """How a model is decoded changes nothing of what it is trained on."""
    files = write_examples(
        tmp_path / "long.gz", [([4, 5, 6], list(range(10, 10 + count))) for count in (3, 6, 9)]
    )
    found = [
        rows_of(validation_batches(files, small(force_eos=forced), 2, 10))
        for forced in (False, True)
    ]
    assert found[0] == found[1]
    assert sorted(labels for _, _, labels in found[0]) == [
        [10, 11, 12, EOS],
        [10, 11, 12, 13, 14, 15],
        [10, 11, 12, 13, 14, 15],
    ]
