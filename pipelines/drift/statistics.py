"""TFDV's statistics of a corpus's texts, in a tokenizer's tokens."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pandas as pd
import tensorflow_data_validation as tfdv

from components.corpus_example_gen.corpus_path import resolve_corpus
from components.corpus_example_gen.files import choose_files, list_files, read_unit, units_of
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.rows import Pair, RawRow, check_row
from components.corpus_example_gen.spans import with_spans
from tokenizer.base import Tokenizer

DOCUMENT_TOKENS: Final = "document_tokens"
SUMMARY_TOKENS: Final = "summary_tokens"
TOKENS_PER_BYTE: Final = "tokens_per_byte"
UNKNOWN_SHARE: Final = "unknown_share"
TOKEN: Final = "token"

# A distribution of tokens is compared over so many of the most frequent ones.
_RANKED_TOKENS: Final = 10_000


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


def text_statistics(pairs: Iterable[Pair], tokenizer: Tokenizer, max_documents: int) -> Any:
    """Compute a DatasetFeatureStatisticsList of lengths, tokens and unknown tokens.

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
    rows = [_row(pair, tokenizer) for _, _, pair in sample]
    if not rows:
        raise CorpusInputError(
            "There are no usable rows to compare. Expected: at least one row with document "
            "and summary in the spans."
        )
    options = tfdv.StatsOptions(num_rank_histogram_buckets=_RANKED_TOKENS)
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame(rows), options)


def _row(pair: Pair, tokenizer: Tokenizer) -> dict[str, list[float] | list[bytes]]:
    document, summary = tokenizer.encode(pair.document), tokenizer.encode(pair.summary)
    unknown = sum(token == tokenizer.unk_id for token in document)
    return {
        DOCUMENT_TOKENS: [float(len(document))],
        SUMMARY_TOKENS: [float(len(summary))],
        TOKENS_PER_BYTE: [len(document) / len(pair.document)],
        UNKNOWN_SHARE: [unknown / max(1, len(document))],
        TOKEN: [b"%d" % token for token in document],
    }
