"""Each tutorial, followed command by command in a clone, at a tiny size.

What the pages show is held to what is printed: words as they stand, numbers as numbers.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipelines.corpora.docstring_corpus import DESCRIPTION_FILE, build_docstring_corpus
from tests.docs.clone import ROOT, Clone, tiny_settings
from tests.docs.pages import Page
from tests.pipelines.kubeflow.kubeflow_api import kubeflow_api

TUTORIALS = ROOT / "docs/tutorials"
CHECKPOINTS = ROOT / "tests/pipelines/checkpoints/fixtures"

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The docstring corpus, cut to a third; `tallygraph corpus` finds it complete.

    Each node reads it, and numbers of the pages are not held to it.
    """
    folder = tmp_path_factory.mktemp("corpus") / "docstrings"
    build_docstring_corpus(folder)
    described = json.loads((folder / DESCRIPTION_FILE).read_text())
    for split in ("train", "eval"):
        file = folder / f"{split}.jsonl"
        rows = file.read_bytes().splitlines(keepends=True)[::3]
        file.write_bytes(b"".join(rows))
        described["pairs"][split] = len(rows)
        described["files"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described))
    assert not build_docstring_corpus(folder).built
    return folder


@pytest.fixture
def folder(corpus: Path, tmp_path: Path) -> Path:
    shutil.copytree(corpus, tmp_path / "build/corpus/docstrings")
    return tmp_path


def test_from_a_clone_to_a_billed_answer(folder: Path) -> None:
    clone = Clone.make(folder, tiny_settings())
    clone.follow(Page.read(TUTORIALS / "billed-answer.md"))


def test_own_corpus(folder: Path) -> None:
    clone = Clone.make(folder, tiny_settings())
    clone.follow(Page.read(TUTORIALS / "own-corpus.md"))


def test_own_checkpoint(folder: Path) -> None:
    # The fixture takes the place of the download.
    shutil.copytree(CHECKPOINTS / "t5", folder / "checkpoints/flan-t5-small")
    settings = [
        *tiny_settings("model"),
        "model.max_input_tokens=32",
        "model.max_output_tokens=12",
    ]
    Clone.make(folder, settings).follow(Page.read(TUTORIALS / "own-checkpoint.md"))


def test_nightly_retraining(folder: Path) -> None:
    clone = Clone.make(folder, tiny_settings())
    clone.follow(Page.read(TUTORIALS / "nightly-retraining.md"))


def test_kubeflow(tmp_path: Path) -> None:
    with kubeflow_api() as server:
        clone = Clone.make(tmp_path, [], {8080: int(server.host.rpartition(":")[2])})
        clone.follow(Page.read(TUTORIALS / "kubeflow.md"))
    assert (tmp_path / "pipeline.yaml").read_text() == (ROOT / "kfp/pipeline.yaml").read_text()
    assert len(server.runs) == 1
    assert server.recurring_runs == {}
