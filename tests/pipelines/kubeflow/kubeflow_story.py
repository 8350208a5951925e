"""A corpus that grows span by span, and the runs that train on it on the emulated cluster."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pipelines.config import load_config
from pipelines.kubeflow.compile import compile_pipeline
from serving.engines import ServerSpec, choose_engine
from tests.pipelines.kubeflow.kubeflow_cluster import Run, run_pipeline
from tests.pipelines.kubeflow.kubeflow_launcher import NodeFailedError, ObjectStore
from tests.pipelines.kubeflow.kubeflow_process import Start, warm
from tests.pipelines.kubeflow.kubeflow_server import UploadedPipeline, upload
from tests.support.warm_process import run_tallygraph

CONFIGS = Path(__file__).parents[3] / "configs"
MAX_INPUT_TOKENS = 32
IMAGE = "tallygraph/pipeline:of-this-run"


def pairs() -> list[dict[str, str]]:
    """192 documents whose summaries can be learned from them."""
    actions = ("open", "close", "read", "write", "remove", "copie")
    things = ("file", "socket", "record", "table", "queue", "index", "page", "stream")
    manners = (
        "at once and without a lock",
        "when the last reader has gone",
        "in the order of arrival",
        "unless the disk is full",
    )
    return [
        {
            "document": f"This call {action}s the {thing} {manner}. The {thing} must belong to "
            "the caller, and errors are reported by name.",
            "summary": f"{action.capitalize()} the {thing} {manner}.",
        }
        for action, thing, manner in itertools.product(actions, things, manners)
    ]


def damaged(row: dict[str, str]) -> dict[str, str]:
    """A row whose summary says nothing of its document: of the same form, and worthless."""
    return {**row, "summary": "the the the the end."}


def write_rows(file: Path, rows: list[dict[str, str]]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass
class Story:
    """What has happened so far.

    Attributes:
      volume: what every node has mounted.
      cluster: object store and containers.
      config: the settings' file.
      start: how the nodes of the first run are started; later ones start warm.
      versions: numbers under which versions were served, after each run.
    """

    volume: Path
    cluster: Path
    config: Path
    start: Start = warm
    runs: dict[str, Run] = field(default_factory=dict)
    versions: dict[str, list[Path]] = field(default_factory=dict)

    def compiled(self, *overrides: str) -> UploadedPipeline:
        settings = [
            f"kubeflow.output={self.volume}",
            f"corpus.test_path={self.volume}/test/pairs.jsonl",
            "model.init_from=champion",
            "model.max_output_tokens=24",
            "registry.min_gain=0.01",
            "training.eval_every_steps=20",
            "meter.validate_documents=8",
            "meter.validate_strings=200",
        ]
        return upload(compile_pipeline(load_config(self.config, [*settings, *overrides])))

    def arrive(self, span: int, rows: list[dict[str, str]]) -> None:
        write_rows(self.volume / "corpus" / f"span-{span}" / "pairs.jsonl", rows)

    def run(self, name: str, span: str, *overrides: str) -> Run:
        given = {
            "corpus": f"{self.volume}/corpus/span-{{SPAN}}/*.jsonl",
            "image": IMAGE,
            **({"span": span} if span else {}),
        }
        start = warm if self.runs else self.start
        run = run_pipeline(self.compiled(*overrides), given, self.cluster, start)
        self.runs[name] = run
        self.versions[name] = self.served()
        return run

    def gate_says(self, run: str) -> dict[str, str]:
        """What the gate before the pipeline decided."""
        values = self.runs[run].outputs["SpanGate"].parameter_values
        return {name: value.string_value for name, value in values.items()}

    def failed(self, span: str, *overrides: str) -> str:
        """What a run says that fails."""
        try:
            self.run("failed", span, *overrides)
        except NodeFailedError as error:
            return str(error)
        raise AssertionError("the run did not fail")

    def served(self) -> list[Path]:
        """The pushed versions, the oldest first: a server takes the last."""
        return sorted((self.volume / "serving" / "summarizer").glob("[0-9]*"))

    def downloaded(self, run: str, task: str, key: str, folder: Path) -> Path:
        """What a node has left in the object store."""
        ObjectStore(self.cluster / "objects").download(
            self.runs[run].store.output(task, key).uri, folder
        )
        return folder

    def registry(self, *arguments: str) -> str:
        """What `tallygraph registry` prints, on the volume."""
        finished = run_tallygraph("registry", *arguments, f"--output={self.volume}")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout


def metering_of(version: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(
        (version / "assets.extra" / "metering.json").read_text()
    )
    return record


def assert_served_and_counted(version: Path, encode: Callable[[str], list[int]]) -> None:
    """Serve a version, and hold its counts to the ids of the tokenizer's own library."""
    texts = ["This call reads the table.", "", "naïve café \u200d👩‍👩‍👧 שלום " * 20]
    with choose_engine("local").start(
        ServerSpec.single("summarizer", version.parent)
    ) as server:
        server.wait_until_available(300)
        response = httpx.post(
            f"{server.rest_url}/v1/models/summarizer:predict",
            json={"instances": [{"text": text} for text in texts]},
            timeout=300,
        )
    assert response.status_code == 200, response.text
    for text, answer in zip(texts, response.json()["predictions"], strict=True):
        ids = encode(text)
        assert answer["input_tokens"] == min(len(ids), MAX_INPUT_TOKENS)
        assert answer["truncated_tokens"] == len(ids) - answer["input_tokens"]
        assert answer["total_tokens"] == answer["input_tokens"] + answer["output_tokens"]
        assert answer["finish_reason"] in ("stop", "length")
