"""A Hugging Face BART with byte-level BPE through the command line: fine-tuned, pushed, served,
counted. One run shows both; a vocabulary of this kind that the pipeline trains itself goes
through Transform in `tests/pipelines/test_beam_engine.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers

from pipelines.checkpoints.opening import open_checkpoint
from tests.e2e.pipeline_commands import assert_counts, checked_answer, run, serving, versions_in

CHECKPOINT = Path(__file__).parents[1] / "pipelines" / "checkpoints" / "fixtures" / "bart"
CONFIG = """
[model]
init_from = "{checkpoint}"
max_input_tokens = 48
max_output_tokens = 16

[training]
steps = 20
batch_size = 8
optimizer = "adamw"
learning_rate = 0.002
warmup_steps = 5
eval_every_steps = 20

[evaluation]
min_rouge_l = 0.0
min_lift_over_baseline_rouge_l = -1.0
max_share_repeated = 1.0
min_share_distinct = 0.0
max_share_empty = 1.0

[meter]
validate_documents = 32
validate_strings = 1000
"""
TEXTS = [
    "This call reads the table in the order of arrival.",
    "",
    "naïve café \u200d👩‍👩‍👧 שלום " * 20,
]


@pytest.mark.long
def test_a_hugging_face_bart_is_pushed_with_its_own_tokenizer_and_counts_as_its_library(
    corpus_file: Path, tmp_path: Path
) -> None:
    # When the whole pipeline starts from the checkpoint
    config = tmp_path / "bart.toml"
    config.write_text(CONFIG.format(checkpoint=CHECKPOINT))
    finished = run(config, corpus_file, tmp_path)

    # Then it pushes a model whose tokenizer is the checkpoint's, byte by byte
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (version,) = versions_in(tmp_path)
    record = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert (record["model_family"], record["tokenizer_kind"]) == ("bart", "byte_level_bpe")
    pinned = version / "assets.extra" / "tokenizer"
    for name in ("vocab.json", "merges.txt"):
        assert (pinned / name).read_bytes() == (CHECKPOINT / name).read_bytes()

    # And the next training can start from it
    started, pushed = open_checkpoint(CHECKPOINT), open_checkpoint(version)
    assert pushed.description == started.description
    assert pushed.identity() != started.identity()

    # And what it answers in a server is counted as the tokenizer's own library counts
    library = tokenizers.ByteLevelBPETokenizer.from_file(
        str(CHECKPOINT / "vocab.json"), str(CHECKPOINT / "merges.txt")
    )
    assert record["vocabulary_size"] == library.get_vocab_size()
    with serving(tmp_path) as server:
        for text, protocol in zip(TEXTS, ("REST", "REST", "gRPC"), strict=True):
            answer = checked_answer(server, protocol, version, text)
            assert_counts(answer, library.encode(text).ids, max_input_tokens=48)
