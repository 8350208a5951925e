"""Folders as transformers 5 saves them, from the command line to a served answer of theirs.

The rate is so small that the weights stay what they were: what is served is then what
transformers makes of the folder itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from tests.e2e.pipeline_commands import assert_counts, checked_answer, run, serving, versions_in

FIXTURES = Path(__file__).parents[1] / "pipelines" / "checkpoints" / "fixtures"
CONFIG = """
[model]
init_from = "{checkpoint}"
max_input_tokens = 60

[training]
steps = 4
batch_size = 8
optimizer = "adamw"
weight_decay = 0.0
learning_rate = 1e-12
warmup_steps = 0
eval_every_steps = 4

[evaluation]
min_rouge_l = 0.0
min_lift_over_baseline_rouge_l = -1.0
max_share_repeated = 1.0
min_share_distinct = 0.0
max_share_empty = 1.0

[meter]
validate_documents = 2
validate_strings = 200
"""


@pytest.fixture
def dataset(corpus_file: Path, tmp_path: Path) -> Path:
    """The rows in three splits, as `datasets` writes them."""
    rows = [json.loads(line) for line in corpus_file.read_text(encoding="utf-8").splitlines()]
    folder = tmp_path / "dataset"
    folder.mkdir()
    for split, part in (
        ("train", rows[:150]),
        ("validation", rows[150:170]),
        ("test", rows[170:]),
    ):
        pq.write_table(pa.Table.from_pylist(part), folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "kind", "note"),
    [
        ("distilbart", "byte_level_bpe", "min_length = 12: taken over as model.min_output"),
        ("t5_uneven", "hugging_face", "repetition_penalty = 1.3: taken over as model.repet"),
    ],
)
def test_a_folder_of_transformers_5_is_served_as_transformers_answers(
    dataset: Path, tmp_path: Path, name: str, kind: str, note: str
) -> None:
    # When the whole pipeline starts from the folder
    config = tmp_path / "checkpoint.toml"
    config.write_text(CONFIG.format(checkpoint=FIXTURES / name))
    finished = run(config, dataset, tmp_path)

    # Then it says what it takes over and which rows are for what, pushes, and its report
    # says it, too
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "corpus: to train on: train-00000-of-00001.parquet\n" in finished.stdout
    assert "corpus: test set: test-00000-of-00001.parquet\n" in finished.stdout
    assert "170 rows: 150 for train, 20 for eval, 0 rejected\n" in finished.stdout
    assert "22 rows: 22 for eval, 0 rejected\n" in finished.stdout
    assert note in " ".join(finished.stdout.split())
    (report,) = (tmp_path / "reports").glob("*.html")
    assert note in report.read_text(encoding="utf-8")
    (version,) = versions_in(tmp_path)
    record = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert record["tokenizer_kind"] == kind

    # And every answer, and every count, is that of transformers
    library = tokenizers.Tokenizer.from_file(str(FIXTURES / name / "tokenizer.json"))
    answers = json.loads((FIXTURES / name / "texts.json").read_text(encoding="utf-8"))
    with serving(tmp_path) as server:
        for expected in answers:
            answer = checked_answer(server, "REST", version, expected["text"])
            assert answer["summary"] == expected["summary"]
            ids = library.encode(expected["text"], add_special_tokens=False).ids
            assert ids == expected["ids"]
            assert_counts(answer, ids, max_input_tokens=60)
