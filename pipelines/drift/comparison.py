"""Compares the texts of new spans with those of the champion's spans."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from components.corpus_example_gen.options import CorpusOptions
from components.model_registry.port import RegisteredVersion
from pipelines.drift.config import DriftConfig
from pipelines.drift.distance import Deals, length_distance
from pipelines.drift.statistics import (
    DOCUMENT_TOKENS,
    SUMMARY_TOKENS,
    TOKEN,
    TOKENS_PER_BYTE,
    UNKNOWN_SHARE,
    TextStatistics,
    pairs_of,
    text_statistics,
)
from tokenizer.pretrained import load_pretrained_tokenizer


@dataclass(frozen=True)
class Measurement:
    """A measured distance and its bounds.

    Attributes:
      value: distance from 0 to 1, or for `unknown_share` the increase.
      by_chance: the largest value that chance explains, with so many documents.
      bound: the largest value that is allowed.
      setting: name of the setting with the bound.
    """

    name: str
    value: float
    by_chance: float
    bound: float
    setting: str

    @property
    def drifted(self) -> bool:
        return self.value > max(self.bound, self.by_chance)

    def __str__(self) -> str:
        return (
            f"{self.name} has moved by {self.value:.4f}; at most {self.bound:g} is allowed "
            f"({self.setting}), and chance explains at most {self.by_chance:.4f}."
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
    known = champion.numbers("spans")
    spans = tuple(span for span in spans if span not in known)
    old, new = (
        text_statistics(pairs_of(corpus, options, each), tokenizer, config.max_documents)
        for each in (known, spans)
    )
    return Drift(
        champion_spans=known,
        spans=spans,
        champion_documents=old.documents,
        documents=new.documents,
        min_documents=config.min_documents,
        measurements=measure(old, new, config),
    )


def measure(
    old: TextStatistics, new: TextStatistics, config: DriftConfig
) -> tuple[Measurement, ...]:
    """Compare statistics.

    Args:
      old: of the champion's spans.
      new: of the spans to train on.
    """
    deals = Deals(old.documents, new.documents)
    lengths = config.max_length_divergence, "drift.max_length_divergence"
    tokens = config.max_token_divergence, "drift.max_token_divergence"
    unknown = config.max_unknown_gain, "drift.max_unknown_gain"
    return (
        *(
            Measurement(name, *length_distance(old.lengths[name], new.lengths[name]), *lengths)
            for name in (DOCUMENT_TOKENS, SUMMARY_TOKENS, TOKENS_PER_BYTE)
        ),
        Measurement(TOKEN, *deals.token_distance(old.token_counts, new.token_counts), *tokens),
        Measurement(
            UNKNOWN_SHARE, *deals.rise(old.unknown_shares, new.unknown_shares), *unknown
        ),
    )


def _numbers(spans: tuple[int, ...]) -> str:
    return ", ".join(map(str, spans))
