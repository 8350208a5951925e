"""CorpusExampleGen: (document, summary) pairs of any supported format as tf.Examples."""

from __future__ import annotations

from collections.abc import Sequence

from tfx.components.example_gen import component as example_gen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from components.corpus_example_gen import executor
from components.corpus_example_gen.corpus_path import (
    as_one_split,
    output_config,
    resolve_corpus,
)
from components.corpus_example_gen.custom_config import custom_config
from components.corpus_example_gen.options import CorpusOptions
from components.corpus_example_gen.spans import with_spans


class CorpusExampleGen(example_gen.FileBasedExampleGen):
    """Reads JSONL, CSV, Parquet or TFRecord files of (document, summary) pairs.

    Example::

        example_gen = CorpusExampleGen("build/corpus/docstrings")

        example_gen = CorpusExampleGen(
            "articles/day-{SPAN}/*.csv",
            CorpusOptions(document_field="article", summary_field="highlights"),
            eval_fraction=0.02,
        )

    Output `examples` (Examples): splits `train` and `eval` of gzipped tf.Examples with the
    bytes features `document`, `summary`, `id` and `source`, one value of valid UTF-8 each.
    Beside the splits, `rejects.jsonl` lists every row that was left out, with file, row, reason
    and an excerpt, and `counts.json` counts them (see `components.corpus_example_gen.report`).
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        path: str,
        options: CorpusOptions | None = None,
        *,
        eval_fraction: float = 0.05,
        spans: Sequence[int] = (),
        split: str = "",
    ):
        """Find the corpus and wire the component.

        Args:
          path: a file, a folder, a glob, or a pattern with `{SPAN}` and its like, of which
            TFX's driver takes the newest if no `spans` are given. A folder whose files
            tell splits by their names has these; its test set is not read, but for `split`.
          options: format, field names and bounds.
          eval_fraction: share of the documents held out, by a hash of the document, if the
            corpus has no splits of its own.
          spans: of a pattern with `{SPAN}`, those to read together.
          split: put a test set into this one, such as `eval`: the corpus's own, or else
            what it holds out, or else all of it.

        Raises:
          CorpusInputError: there is nothing readable at `path`, or an option is not valid.
        """
        options = options or CorpusOptions()
        corpus = resolve_corpus(path, options)
        if split:
            corpus = as_one_split(corpus, split)
        if spans:
            corpus, options = with_spans(corpus, options, spans)
        super().__init__(
            input_base=corpus.base,
            input_config=corpus.config,
            output_config=(
                example_gen_pb2.Output() if split else output_config(corpus, eval_fraction)
            ),
            custom_config=custom_config(options),
        )
