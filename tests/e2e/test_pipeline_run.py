"""The whole pipeline through its command line, on a stranger's JSONL: killed and resumed,
repeated, refused, served.

The tests of this file are one story in order, because a run takes most of a minute: each
goes on from the output folder that the one before has left.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from tests.e2e.pipeline_commands import (
    CONFIGS,
    TALLYGRAPH,
    assert_counts,
    checked_answer,
    nodes_of,
    run,
    run_command,
    serving,
    versions_in,
)
from tests.support.warm_process import run_tallygraph

CONFIG = CONFIGS / "tiny.toml"
PRICES = CONFIGS.parent / "examples" / "prices.toml"

NODES = [
    "CorpusExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "TokenizerTrainer",
    "Transform",
    "Trainer",
    "Exporter",
    "Meter",
    "ChampionResolver",
    "Evaluator",
    "MeterValidator",
    "ServingValidator",
    "Promoter",
    "Pusher",
]

pytestmark = [pytest.mark.timeout(600), pytest.mark.in_order]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its name has what a URL, a pattern of settings and a shell would take for something."""
    return tmp_path_factory.mktemp("output") / "50% of ü %20"


def test_1_a_run_killed_in_training_leaves_no_version(corpus_file: Path, output: Path) -> None:
    process = subprocess.Popen(
        run_command(CONFIG, corpus_file, output),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        # The second validation: the first one's checkpoint is on disk by then.
        if "step 80/120" in line and "validation loss" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    printed.append(process.stdout.read())
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "".join(printed)

    done = nodes_of("".join(printed))

    assert done["Transform"] == "done"
    assert "Trainer" not in done
    assert versions_in(output) == []


def test_2_the_next_run_reuses_what_was_complete_and_goes_on(
    corpus_file: Path, output: Path
) -> None:
    finished = run(CONFIG, corpus_file, output, f"--prices={PRICES}")
    printed = finished.stdout + finished.stderr

    assert finished.returncode == 0, printed
    report = (output / "reports" / "tiny.html").read_text()
    assert re.search(r"1,000 such summaries\s+cost 0\.\d{6} EUR", report)
    nodes = nodes_of(printed)
    assert sorted(nodes) == sorted(NODES)
    before_trainer = NODES[: NODES.index("Trainer")]
    assert {name: nodes[name] for name in before_trainer} == dict.fromkeys(
        before_trainer, "cached"
    )
    assert nodes["Trainer"] == "done"
    assert re.search(r"training continues after step (40|80) of 120", printed)
    (version,) = versions_in(output)
    assert f"pushed to {version}" in printed
    assert f"serve it: tallygraph serve --output {shlex.quote(str(output))}" in printed
    assert (
        json.loads((version / "assets.extra" / "metering.json").read_text())["contract_version"]
        == 1
    )


def test_3_the_same_input_again_is_answered_from_the_cache(
    corpus_file: Path, output: Path
) -> None:
    (version,) = versions_in(output)

    finished = run(CONFIG, corpus_file, output)

    assert finished.returncode == 0, finished.stdout + finished.stderr
    nodes = nodes_of(finished.stdout)
    assert "settings and code are those of the last run\n" in finished.stdout
    # A resolver only looks up; there is nothing of it to cache.
    assert {name for name, how in nodes.items() if how != "cached"} == {"ChampionResolver"}
    assert versions_in(output) == [version]


def test_4_a_model_below_a_threshold_is_not_pushed_and_the_reason_is_said(
    corpus_file: Path, output: Path
) -> None:
    (version,) = versions_in(output)

    finished = run(CONFIG, corpus_file, output, "--set=evaluation.min_rouge_l=0.99")

    printed = finished.stdout + finished.stderr
    assert finished.returncode == 3, printed
    nodes = nodes_of(printed)
    assert {name for name, how in nodes.items() if how == "done"} == {
        "ChampionResolver",
        "Evaluator",
        "Promoter",
        "Pusher",
    }
    assert "not pushed" in printed
    assert "evaluation.min_rouge_l" in printed
    assert versions_in(output) == [version]
    assert "evaluation.min_rouge_l" in (output / "reports" / "tiny.html").read_text()


def test_4_the_pushed_version_is_the_champion_and_can_be_traced_back(
    corpus_file: Path, output: Path
) -> None:
    (version,) = versions_in(output)

    traced = subprocess.run(
        [str(TALLYGRAPH), "registry", "lineage", version.name, f"--output={output}"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert traced.returncode == 0, traced.stderr
    record = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert traced.stdout.startswith(f"summarizer 1 (champion), pushed as {version.name}\n")
    assert f"tokenizer: {record['tokenizer_fingerprint']}\n" in traced.stdout
    assert f"run: {record['pipeline_run']}\n" in traced.stdout
    assert f"Corpus: {corpus_file.parent}\n" in traced.stdout
    assert traced.stderr == ""


@pytest.fixture(scope="module")
def server(output: Path) -> Iterator[dict[str, str]]:
    with serving(output) as addresses:
        yield addresses


@pytest.mark.parametrize("protocol", ["REST", "gRPC"])
@pytest.mark.parametrize(
    "text",
    [
        "This call reads the table in the order of arrival.",
        "",
        "naïve café \u200d👩‍👩‍👧 שלום " * 20,
    ],
)
def test_5_the_served_answer_carries_the_librarys_own_counts(
    output: Path, server: dict[str, str], protocol: str, text: str
) -> None:
    (version,) = versions_in(output)
    answer = checked_answer(server, protocol, version, text)

    library = SentencePieceProcessor(
        model_file=str(version / "assets.extra" / "tokenizer" / "tokenizer.model")
    )
    assert_counts(answer, library.encode(text), max_input_tokens=32)


def test_5_held_out_documents_are_shown_with_answer_counts_and_price(
    corpus_file: Path, output: Path, server: dict[str, str]
) -> None:
    asked = [
        "samples",
        f"--output={output}",
        f"--url={server['REST'].split('/v1/')[0]}",
        f"--grpc={server['gRPC']}",
        f"--prices={PRICES}",
    ]

    shown = run_tallygraph(*asked)
    as_json = run_tallygraph(*asked, "--count=2", "--json")

    printed = shown.stdout + shown.stderr
    assert shown.returncode == 0, printed
    assert re.findall("^document .*", printed, re.M) == [
        f"document {number} of 3" for number in (1, 2, 3)
    ]
    assert "counts verified: the library sentencepiece counts " in printed
    assert "gRPC gives the same answers and counts as REST" in printed
    costs = [int(each.replace(".", "")) for each in re.findall(r"price +([\d.]+) EUR", printed)]
    (together,) = re.findall(r"together ([\d.]+) EUR", printed)
    assert sum(costs) == int(together.replace(".", "")) > 0
    # The same two first, and really pairs of the corpus.
    pairs = {
        row["document"]: row["summary"]
        for row in map(json.loads, corpus_file.read_text("utf-8").splitlines())
    }
    rows = json.loads(as_json.stdout)
    assert [row["amount_micro"] for row in rows] == costs[:2]
    for row in rows:
        assert pairs[row["document"]] == row["reference"]
        assert row["total_tokens"] == row["input_tokens"] + row["output_tokens"]


def test_6_a_server_that_is_not_there_is_an_error_in_plain_words() -> None:
    answered = subprocess.run(
        [str(TALLYGRAPH), "summarize", "text", "--url=http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answered.returncode == 1
    assert "error:" in answered.stderr
    assert "Traceback" not in answered.stderr + answered.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config=none.toml", "--corpus=x"], "none.toml does not exist"),
        ([f"--config={CONFIG}"], "no corpus given"),
        ([f"--config={CONFIG}", "--corpus=x", "--set=training.steps=0"], "training.steps"),
        ([f"--config={CONFIG}", "--corpus=no/such/file.jsonl"], "no/such/file.jsonl"),
        ([f"--config={CONFIG}", "--corpus=x", "--prices=no.toml"], "Cannot read the price"),
        (
            [f"--config={CONFIG}", "--corpus=x", f"--prices={PRICES}", "--plan=gold"],
            "has no price for the model 'summarizer' on the plan 'gold'",
        ),
    ],
)
def test_7_bad_input_ends_with_exit_code_2_and_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    finished = run_tallygraph("run", f"--output={tmp_path / 'out'}", *arguments)
    printed = finished.stdout + finished.stderr
    assert finished.returncode == 2, printed
    assert expected in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out" / "serving").exists()


def test_8_a_corpus_without_a_usable_row_is_refused_with_the_reasons(tmp_path: Path) -> None:
    corpus = tmp_path / "bad.jsonl"
    corpus.write_text('{"document": "only a document"}\nno json\n')
    finished = run(CONFIG, corpus, tmp_path / "out")
    printed = finished.stdout + finished.stderr
    assert finished.returncode == 2, printed
    assert "missing" in printed
    assert "Traceback" not in printed


def test_9_a_run_whose_node_failed_is_reported_too(corpus_file: Path, output: Path) -> None:
    versions = versions_in(output)

    finished = run(CONFIG, corpus_file, output, "--set=tokenizer.pinned=no/such/folder")

    printed = finished.stdout + finished.stderr
    assert finished.returncode == 1, printed
    assert "no/such/folder" in printed
    assert "Traceback" not in printed
    report = (output / "reports" / "tiny.html").read_text()
    assert re.search(r"TokenizerTrainer failed: \w+Error: [^<]*no/such/folder", report)
    assert versions_in(output) == versions
