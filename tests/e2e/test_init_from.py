"""A Hugging Face BART through the command line: fine-tuned, held to its counts, pushed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_commands import run, versions_in

from pipelines.checkpoints.opening import open_checkpoint

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
validate_documents = 8
validate_strings = 100
"""


@pytest.mark.timeout(600)
def test_a_hugging_face_bart_is_pushed_with_its_own_tokenizer(
    corpus_file: Path, tmp_path: Path
) -> None:
    # When the pipeline starts from the checkpoint
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
