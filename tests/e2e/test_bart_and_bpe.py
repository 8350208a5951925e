"""BART with byte-level BPE through the command line: one run, pushed, served, counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from pipeline_commands import CONFIGS, assert_counts, checked_answer, run, serving, versions_in

TEXTS = [
    "This call reads the table in the order of arrival.",
    "",
    "naïve café \u200d👩‍👩‍👧 שלום " * 20,
]


@pytest.mark.timeout(600)
def test_a_bart_with_byte_level_bpe_is_pushed_and_its_counts_are_the_librarys(
    corpus_file: Path, tmp_path: Path
) -> None:
    # When the whole pipeline runs
    finished = run(CONFIGS / "tiny-bart.toml", corpus_file, tmp_path)

    # Then it pushes a model of this family and this kind of tokenizer
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (version,) = versions_in(tmp_path)
    record = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert (record["model_family"], record["tokenizer_kind"]) == ("bart", "byte_level_bpe")

    # And what it answers in a server is counted as the tokenizer's own library counts
    directory = version / "assets.extra" / "tokenizer"
    library = tokenizers.ByteLevelBPETokenizer.from_file(
        str(directory / "vocab.json"), str(directory / "merges.txt")
    )
    assert record["vocabulary_size"] == library.get_vocab_size()
    with serving(tmp_path) as server:
        for text in TEXTS:
            ids = library.encode(text).ids
            answers = [
                checked_answer(server, protocol, version, text) for protocol in ("REST", "gRPC")
            ]
            assert answers[0] == answers[1]
            assert_counts(answers[0], ids, max_input_tokens=32)
