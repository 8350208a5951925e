"""Compares the texts of new spans with those of the champion's spans, with TFDV."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv

from components.corpus_example_gen.options import CorpusOptions
from components.model_registry.port import RegisteredVersion
from pipelines.drift.config import DriftConfig
from pipelines.drift.statistics import (
    DOCUMENT_TOKENS,
    SUMMARY_TOKENS,
    TOKEN,
    TOKENS_PER_BYTE,
    UNKNOWN_SHARE,
    pairs_of,
    text_statistics,
)
from tokenizer.pretrained import load_pretrained_tokenizer


@dataclass(frozen=True)
class Measurement:
    """A measured divergence and its bound.

    Attributes:
      value: divergence from 0 to 1, or for `unknown_share` the increase.
      setting: name of the setting with the bound.
    """

    name: str
    value: float
    bound: float
    setting: str

    @property
    def drifted(self) -> bool:
        return self.value > self.bound

    def __str__(self) -> str:
        return (
            f"{self.name} has moved by {self.value:.4f}; at most {self.bound:g} is allowed "
            f"({self.setting})."
        )


@dataclass(frozen=True)
class Drift:
    """The result of comparing new spans with the champion's.

    Attributes:
      champion_documents, documents: number of documents that were compared.
      min_documents: with fewer on either side, nothing counts as drift.
    """

    champion_spans: tuple[int, ...]
    spans: tuple[int, ...]
    champion_documents: int
    documents: int
    min_documents: int
    measurements: tuple[Measurement, ...]

    @property
    def findings(self) -> tuple[Measurement, ...]:
        """List the measurements above their bounds; none if there are too few documents to
        tell."""
        if min(self.champion_documents, self.documents) < self.min_documents:
            return ()
        return tuple(found for found in self.measurements if found.drifted)

    @property
    def summary(self) -> str:
        """Say what was compared, and how many findings there are."""
        compared = (
            f"{self.documents} documents of span {_numbers(self.spans)} were compared with "
            f"{self.champion_documents} of the champion's, span {_numbers(self.champion_spans)}"
        )
        if min(self.champion_documents, self.documents) < self.min_documents:
            return f"{compared}: too few to tell (drift.min_documents = {self.min_documents})."
        return f"{compared}: {len(self.findings)} of {len(self.measurements)} have drifted."

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {**asdict(self), "drifted": [found.name for found in self.findings]}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def compare_spans(
    corpus: str,
    options: CorpusOptions,
    champion: RegisteredVersion,
    spans: tuple[int, ...],
    config: DriftConfig,
) -> Drift:
    """Compare spans with those that a version was trained on, in the tokens of its tokenizer.

    Spans that the version was already trained on are left out.

    Raises:
      CorpusInputError: a span no longer exists.
      TokenizerError: the version has no tokenizer that can be read.
    """
    tokenizer = load_pretrained_tokenizer(champion.uri)
    known = tuple(int(span) for span in champion.tags.get("spans", "").split())
    spans = tuple(span for span in spans if span not in known)
    old, new = (
        text_statistics(pairs_of(corpus, options, each), tokenizer, config.max_documents)
        for each in (known, spans)
    )
    return Drift(
        champion_spans=known,
        spans=spans,
        champion_documents=old.datasets[0].num_examples,
        documents=new.datasets[0].num_examples,
        min_documents=config.min_documents,
        measurements=measure(old, new, config),
    )


def measure(old: Any, new: Any, config: DriftConfig) -> tuple[Measurement, ...]:
    """Compare statistics from `pipelines.drift.statistics.text_statistics`.

    Args:
      old: of the champion's spans.
      new: of the spans to train on.
    """
    lengths = config.max_length_divergence, "drift.max_length_divergence"
    bounds = {
        DOCUMENT_TOKENS: lengths,
        SUMMARY_TOKENS: lengths,
        TOKENS_PER_BYTE: lengths,
        TOKEN: (config.max_token_divergence, "drift.max_token_divergence"),
    }
    schema = tfdv.infer_schema(old)
    for name, (bound, _) in bounds.items():
        comparator = tfdv.get_feature(schema, name).drift_comparator
        comparator.jensen_shannon_divergence.threshold = bound
    anomalies = tfdv.validate_statistics(new, schema, previous_statistics=old)
    values = {
        info.path.step[0]: measured.value
        for info in anomalies.drift_skew_info
        for measured in info.drift_measurements
    }
    divergences = [
        Measurement(name, values[name], bound, setting)
        for name, (bound, setting) in bounds.items()
    ]
    risen = _mean(new, UNKNOWN_SHARE) - _mean(old, UNKNOWN_SHARE)
    unknown = Measurement(
        UNKNOWN_SHARE, risen, config.max_unknown_gain, "drift.max_unknown_gain"
    )
    return (*divergences, unknown)


def _mean(statistics: Any, name: str) -> float:
    for feature in statistics.datasets[0].features:
        if feature.path.step[0] == name:
            return float(feature.num_stats.mean)
    raise KeyError(name)


def _numbers(spans: tuple[int, ...]) -> str:
    return ", ".join(map(str, spans))
