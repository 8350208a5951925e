"""Masked cross-entropy against the sum written out."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.training.loss import masked_cross_entropy


def by_hand(
    labels: np.ndarray, mask: np.ndarray, logits: np.ndarray, smoothing: float
) -> float:
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    size = logits.shape[-1]
    target = np.eye(size)[labels] * (1 - smoothing) + smoothing / size
    return (-(target * np.log(probabilities)).sum(-1) * mask).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_the_sum_written_out(smoothing: float) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 11, (3, 5))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    logits = random.normal(0, 3, (3, 5, 11)).astype("float32")
    nats, counted = masked_cross_entropy(
        labels.astype("int32"), mask.astype("int32"), logits, smoothing
    )
    assert float(nats) == pytest.approx(by_hand(labels, mask, logits, smoothing), rel=1e-5)
    assert float(counted) == 7


def test_padding_does_not_count_whatever_is_in_it() -> None:
    logits = np.zeros((1, 3, 4), "float32")
    mask = np.array([[1, 1, 0]], "int32")
    nats, counted = masked_cross_entropy(np.array([[1, 2, 3]], "int32"), mask, logits)
    logits[0, 2] = [1e4, -1e4, 0, 3]
    again, _ = masked_cross_entropy(np.array([[1, 2, 0]], "int32"), mask, logits)
    assert float(nats) == pytest.approx(2 * np.log(4))
    assert float(nats) == float(again)
    assert float(counted) == 2
