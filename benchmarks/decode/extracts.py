"""Writes a corpus whose summaries copy, for `benchmarks.decode.trained`.

    python -m benchmarks.decode.extracts CORPUS OUTPUT

Of each document of CORPUS, a corpus of docstrings, the summary becomes the two of its own
sentences that have most words in common with the summary that a person wrote, in the order of
the document: what extractive summarisation trains on (Nallapati et al., 2017, SummaRuNNer).
Documents of fewer than three sentences, or of more words than LONGEST, are left out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.command import end_by_exception
from pipelines.evaluation.words import first_sentence, words

LONGEST: Final = 100
_FEWEST_SENTENCES: Final = 3
_CHOSEN: Final = 2


def main() -> None:
    """Write the corpus, split as CORPUS is, and print how many documents it has."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decode.extracts", description=__doc__
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    end_by_exception()
    files = sorted(arguments.corpus.glob("*.jsonl"))
    if not files:
        raise SystemExit(
            f"{arguments.corpus} has no *.jsonl. Make the corpus first: tallygraph corpus "
            f"docstrings --output {arguments.corpus}"
        )
    arguments.output.mkdir(parents=True, exist_ok=True)
    for file in files:
        lines = list(extracts(file))
        (arguments.output / file.name).write_text("".join(lines), encoding="utf-8")
        print(f"{arguments.output / file.name}: {len(lines)} documents", flush=True)


def extracts(file: Path) -> Iterator[str]:
    """Lines of JSON for those of a file whose documents have enough sentences."""
    for line in file.read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        found = sentences(pair["document"])
        if len(found) >= _FEWEST_SENTENCES and len(words(pair["document"])) <= LONGEST:
            chosen = extract(found, pair["summary"])
            yield json.dumps(pair | {"summary": chosen}, ensure_ascii=False) + "\n"


def sentences(document: str) -> list[str]:
    """The sentences of a document, in order."""
    found, rest = [], document.strip()
    while rest:
        sentence = first_sentence(rest)
        found.append(sentence)
        rest = rest[len(sentence) :].strip()
    return found


def extract(candidates: list[str], summary: str) -> str:
    """Those two sentences, in their order, that have most words in common with a summary.

    In common is F1 of words, each counted as often as it occurs in both; of equal ones the
    first wins.
    """
    wanted = Counter(words(summary))

    def in_common(sentence: str) -> float:
        own = Counter(words(sentence))
        return 2 * (own & wanted).total() / max(own.total() + wanted.total(), 1)

    ranked = sorted(range(len(candidates)), key=lambda at: -in_common(candidates[at]))
    return " ".join(candidates[at] for at in sorted(ranked[:_CHOSEN]))


if __name__ == "__main__":
    main()
