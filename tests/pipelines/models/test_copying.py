"""A fresh T5 that starts copying writes what followed, in the document, its last id."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.models.architecture import Architecture
from pipelines.models.copying import start_copying
from pipelines.models.families import build_model


def architecture(family: str) -> Architecture:
    return Architecture(
        family=family,
        vocabulary_size=500,
        d_model=128,
        num_layers=2,
        num_heads=4,
        d_ff=256,
        max_input_tokens=30,
        max_output_tokens=12,
    )


def share_copied(copying: bool) -> float:
    """How often the likeliest next id is the one that follows the last one in the document."""
    keras.utils.set_random_seed(1)
    model = build_model(architecture("t5"))
    if copying:
        start_copying(model, architecture("t5"), seed=1)
    draw = np.random.default_rng(2)
    documents = np.stack([draw.permutation(np.arange(3, 500))[:30] for _ in range(16)])
    start = draw.integers(0, 18, 16)
    written = np.stack([d[s : s + 11] for d, s in zip(documents, start, strict=True)])
    expected = np.stack([d[s + 1 : s + 12] for d, s in zip(documents, start, strict=True)])
    logits = model.predict(
        {
            "encoder_token_ids": documents.astype("int32"),
            "encoder_padding_mask": np.ones_like(documents, "int32"),
            "decoder_token_ids": written.astype("int32"),
            "decoder_padding_mask": np.ones_like(written, "int32"),
        },
        verbose=0,
    )
    return float(np.mean(logits.argmax(axis=-1) == expected))


@pytest.mark.long
def test_a_fresh_t5_copies_only_if_it_was_started_so() -> None:
    assert share_copied(copying=False) < 0.05
    assert share_copied(copying=True) > 0.8


def test_another_family_is_refused() -> None:
    bart = architecture("bart")
    with pytest.raises(ValueError, match=r"only a T5 can start copying\. Received: .*'bart'"):
        start_copying(build_model(bart), bart, seed=1)


def test_embeddings_of_a_fresh_t5_differ_from_each_other() -> None:
    embeddings = build_model(architecture("t5")).backbone.token_embedding.embeddings.numpy()
    assert abs(embeddings.mean()) < 0.02
    assert 0.98 < embeddings.std() < 1.02
