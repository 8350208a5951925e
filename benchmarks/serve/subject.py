"""The models that are served, made anew for each run."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import DEMO, save_models, save_transform_graph
from benchmarks.worker import ROOT
from tokenizer.training import train_sentencepiece

SUMMARIZER, FIXTURE = "summarizer", "fixture"
NAMES = (SUMMARIZER, FIXTURE)
VOCABULARY_SIZE = 8000
_VERSION = "1"
_FIXTURE = ROOT / "tests" / "support" / "fixture_model.py"


@dataclass(frozen=True)
class Subject:
    """A model on disk.

    Attributes:
      name: that it is served under.
      base: folder of its one version.
    """

    name: str
    base: Path

    @property
    def version(self) -> Path:
        return self.base / _VERSION


def make_subject(name: str, texts: Sequence[str], directory: Path) -> Subject:
    """Write a model.

    Args:
      name: one of ``NAMES``.
      texts: that the summariser's vocabulary is trained on.
      directory: for everything that this writes; must be empty.
    """
    subject = Subject(name, directory / name)
    subject.base.mkdir(parents=True)
    if name == FIXTURE:
        runpy.run_path(str(_FIXTURE))["export"](subject.base, int(_VERSION))
    else:
        tokenizer = train_sentencepiece(texts, VOCABULARY_SIZE)
        graph = save_transform_graph(tokenizer, directory / "transform")
        _, metered = save_models(DEMO, tokenizer, graph, directory / "models")
        metered.rename(subject.version)
    return subject
