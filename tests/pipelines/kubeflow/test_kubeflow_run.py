"""The smallest pipeline through the emulated cluster, from corpus to pushed, served model."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import httpx
import pytest
from kubeflow_cluster import Run, run_pipeline, run_task
from kubeflow_server import UploadedPipeline, upload
from sentencepiece import SentencePieceProcessor

from components.model_registry import open_registry
from components.model_registry.port import CHAMPION
from pipelines.config import load_config
from pipelines.kubeflow.compile import compile_pipeline
from serving.engines import ServerSpec, choose_engine

TINY = Path(__file__).parents[3] / "configs" / "tiny.toml"
MAX_INPUT_TOKENS = 32
IMAGE = "tallygraph/pipeline:of-this-run"

pytestmark = pytest.mark.timeout(600)


def write_corpus(folder: Path) -> None:
    """192 pairs, in the spans 1 (too few to train on) and 2."""
    actions = {"opens": "Open", "closes": "Close", "reads": "Read", "writes": "Write"}
    things = ("file", "socket", "record", "table", "queue", "index", "page", "stream")
    manners = ("at once", "without a lock", "in the order of arrival", "unless it is full")
    rows = [
        {
            "document": f"This call {verb} the {thing} {manner}. The {thing} is the caller's.",
            "summary": f"{imperative} the {thing} {manner}.",
        }
        for (verb, imperative), thing, manner in itertools.product(
            actions.items(), things, manners
        )
    ]
    for span, part in ((1, rows[:3]), (2, rows)):
        target = folder / f"span-{span}"
        target.mkdir(parents=True)
        (target / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every node has mounted."""
    return tmp_path_factory.mktemp("volume")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Object store and containers."""
    return tmp_path_factory.mktemp("cluster")


def compiled(volume: Path, *overrides: str) -> UploadedPipeline:
    config = load_config(
        TINY,
        [
            f"kubeflow.output={volume}",
            "tokenizer.pinned=champion",
            "training.steps=40",
            "training.eval_every_steps=20",
            "meter.validate_documents=8",
            "meter.validate_strings=200",
            *overrides,
        ],
    )
    return upload(compile_pipeline(config))


def parameters(volume: Path) -> dict[str, str]:
    return {"corpus": f"{volume}/corpus/span-{{SPAN}}/*.jsonl", "image": IMAGE}


@pytest.fixture(scope="module")
def run(volume: Path, cluster: Path) -> Run:
    write_corpus(volume / "corpus")
    return run_pipeline(compiled(volume), parameters(volume), cluster)


@pytest.fixture(scope="module")
def version(run: Run, volume: Path) -> Path:
    (found,) = (volume / "serving" / "summarizer").glob("[0-9]*")
    return found


def test_every_node_ran_in_the_image_of_the_run(run: Run) -> None:
    assert run.images == {IMAGE}
    assert "Pusher" in run.outputs


def test_the_newest_span_was_read_and_is_known_to_all(run: Run, version: Path) -> None:
    examples = run.store.output("CorpusExampleGen", "examples").metadata
    assert examples["custom:span"] == 2
    assert examples["input_fingerprint"].startswith("split:all,num_files:1,")
    metering = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert metering["spans"] == [2]


def test_the_model_says_which_run_and_which_code_made_it(run: Run, version: Path) -> None:
    metering = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert metering["pipeline_run"] == run.run_id
    assert len(metering["code_version"]) == 16


def test_what_passes_between_nodes_keeps_its_properties(run: Run, version: Path) -> None:
    tokenizer = run.store.output("TokenizerTrainer", "tokenizer").metadata
    metering = json.loads((version / "assets.extra" / "metering.json").read_text())
    assert tokenizer["fingerprint"] == metering["tokenizer_fingerprint"]
    assert run.store.output("ChampionLookup", "model").metadata["absent"] == 1
    blessing = run.store.output("Evaluator", "blessing").metadata
    assert blessing["blessed"] == 1
    assert blessing["current_model_id"] == run.store.output("Meter", "metered_model").name
    assert "baseline_model_id" not in blessing
    pushed = run.store.output("Pusher", "pushed_model").metadata
    assert pushed["pushed_destination"] == str(version)


def test_the_pushed_model_is_served_and_counts_right(version: Path) -> None:
    texts = ["This call reads the table.", "", "naïve café \u200d👩‍👩‍👧 שלום " * 20]
    library = SentencePieceProcessor(
        model_file=str(version / "assets.extra" / "tokenizer" / "tokenizer.model")
    )

    with choose_engine("local").start(
        ServerSpec.single("summarizer", version.parent)
    ) as server:
        server.wait_until_available(120)
        response = httpx.post(
            f"{server.rest_url}/v1/models/summarizer:predict",
            json={"instances": [{"text": text} for text in texts]},
            timeout=60,
        )

    assert response.status_code == 200, response.text
    for text, answer in zip(texts, response.json()["predictions"], strict=True):
        ids = library.encode(text)
        assert answer["input_tokens"] == min(len(ids), MAX_INPUT_TOKENS)
        assert answer["truncated_tokens"] == len(ids) - answer["input_tokens"]
        assert answer["total_tokens"] == answer["input_tokens"] + answer["output_tokens"]
        assert answer["finish_reason"] in ("stop", "length")


def test_the_registered_champion_outlives_the_pods(
    run: Run, volume: Path, version: Path
) -> None:
    promotion = run.store.output("Promoter", "blessing").metadata
    assert (promotion["outcome"], promotion["version"]) == ("champion", 1)

    champion = open_registry(f"sqlite:///{volume}/registry.sqlite").by_alias(
        "summarizer", CHAMPION
    )

    assert champion is not None
    kept = Path(champion.uri)
    assert kept.is_relative_to(volume / "models" / "summarizer")
    assert (kept / "saved_model.pb").read_bytes() == (version / "saved_model.pb").read_bytes()
    assert champion.tags["pipeline_run"] == run.run_id
    assert version.name in champion.tags["pushed_versions"]


def test_with_a_champion_its_tokenizer_is_kept_and_it_is_the_baseline(
    run: Run, volume: Path, cluster: Path
) -> None:
    first = run.store.output("TokenizerTrainer", "tokenizer").metadata["fingerprint"]
    # Another vocabulary is asked for, so that one trained anew would be another one.
    pipeline = compiled(volume, "tokenizer.vocab_size=420")

    for name in ("ChampionLookup", "TokenizerTrainer", "Evaluator"):
        run_task(pipeline, name, parameters(volume), run, cluster)

    champion = run.store.output("ChampionLookup", "model")
    assert champion.metadata["absent"] == 0
    assert champion.metadata["registered_version"] == 1
    kept = run.store.output("TokenizerTrainer", "tokenizer").metadata["fingerprint"]
    assert kept == first
    blessing = run.store.output("Evaluator", "blessing").metadata
    assert blessing["baseline_model_id"] == champion.name
