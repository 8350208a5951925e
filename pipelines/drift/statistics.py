"""What is compared of a corpus's texts: lengths and tokens, in a tokenizer's tokens."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from components.corpus_example_gen.corpus_path import resolve_corpus
from components.corpus_example_gen.files import choose_files, list_files, read_unit, units_of
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.rows import Pair, RawRow, check_row
from components.corpus_example_gen.spans import with_spans
from tokenizer.base import Tokenizer

DOCUMENT_TOKENS: Final = "document_tokens"
SUMMARY_TOKENS: Final = "summary_tokens"
TOKENS_PER_BYTE: Final = "tokens_per_byte"
TOKEN: Final = "token"
UNKNOWN_SHARE: Final = "unknown_share"


@dataclass(frozen=True)
class TextStatistics:
    """Statistics of some documents, a value for each.

    Attributes:
      lengths: float64 [documents] by name: ``DOCUMENT_TOKENS``, ``SUMMARY_TOKENS``,
        ``TOKENS_PER_BYTE``.
      token_counts: [documents, vocabulary], how often each token is in a document.
      unknown_shares: float64 [documents], the share of tokens that the vocabulary does not
        know.
    """

    lengths: dict[str, np.ndarray]
    token_counts: sparse.csr_array
    unknown_shares: np.ndarray

    @property
    def documents(self) -> int:
        return len(self.unknown_shares)


def pairs_of(path: str, options: CorpusOptions, spans: Sequence[int]) -> Iterator[Pair]:
    """Read the usable rows of some spans, as CorpusExampleGen does.

    Raises:
      CorpusInputError: a span has no file.
    """
    corpus, options = with_spans(resolve_corpus(path, options), options, spans)
    for split in corpus.config.splits:
        files, _ = choose_files(list_files(corpus.base, split.pattern), corpus.base, options)
        for index, file in enumerate(files):
            for unit in units_of(index, file):
                for raw in read_unit(unit, options):
                    row = check_row(raw, options) if isinstance(raw, RawRow) else raw
                    if isinstance(row, Pair):
                        yield row


def text_statistics(
    pairs: Iterable[Pair], tokenizer: Tokenizer, max_documents: int
) -> TextStatistics:
    """Compute the statistics of at most so many documents.

    Args:
      max_documents: if there are more, those with the smallest checksums are used: the same
        ones in whatever order they come.

    Raises:
      CorpusInputError: there is no text.
    """
    # The place breaks ties, so that rows themselves need not be compared.
    sample = heapq.nsmallest(
        max_documents,
        ((zlib.crc32(pair.document), place, pair) for place, pair in enumerate(pairs)),
    )
    if not sample:
        raise CorpusInputError(
            "There are no usable rows to compare. Expected: at least one row with document "
            "and summary in the spans."
        )
    documents = [np.array(tokenizer.encode(pair.document), np.int64) for _, _, pair in sample]
    tokens = np.array([len(ids) for ids in documents], np.float64)
    row_starts = np.concatenate([[0], np.cumsum(tokens, dtype=np.int64)])
    ids = np.concatenate(documents)
    counts = sparse.csr_array(
        (np.ones(len(ids)), ids, row_starts),
        shape=(len(documents), tokenizer.vocabulary_size),
    )
    counts.sum_duplicates()
    unknown = np.array([(ids == tokenizer.unk_id).sum() for ids in documents], np.float64)
    size = np.array([len(pair.document) for _, _, pair in sample], np.float64)
    summaries = [len(tokenizer.encode(pair.summary)) for _, _, pair in sample]
    return TextStatistics(
        {
            DOCUMENT_TOKENS: tokens,
            SUMMARY_TOKENS: np.array(summaries, np.float64),
            TOKENS_PER_BYTE: tokens / size,
        },
        counts,
        unknown / np.maximum(tokens, 1),
    )
