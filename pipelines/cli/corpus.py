"""`tallygraph corpus`: make a corpus without downloading anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out

app = typer.Typer(help="Make a corpus to train on.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make a corpus to train on."""


@app.command()
def docstrings(
    output: Annotated[
        Path, typer.Option(help="Folder for train.jsonl, eval.jsonl and corpus.json.")
    ] = Path("build/corpus/docstrings"),
) -> None:
    """Make a corpus from the docstrings of installed Python packages: summary line and the
    prose below it."""
    from pipelines.corpora.docstring_corpus import build_docstring_corpus
    from pipelines.corpora.python_sources import CorpusError

    try:
        corpus = build_docstring_corpus(output, console=out)
    except CorpusError as error:
        fail(str(error), EXIT_BAD_INPUT)
    how = "built" if corpus.built else "is up to date"
    out.print(
        f"corpus {how}: {corpus.train_pairs:,} pairs to train on, {corpus.eval_pairs:,} held "
        f"out, in {output}"
    )
