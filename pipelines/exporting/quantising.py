"""What storing a model's matrices in int8 costs: held-out documents summarised by both."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from pipelines.evaluation.scores import Scorer

COST_FILE: Final = "assets.extra/quantising.json"
"""Where an export says what it cost, below the SavedModel's folder."""

# A model whose summaries in int8 are the same for nine documents of ten has a standard error
# of about 0.001 in the difference with so many.
MOST_DOCUMENTS: Final = 512
_BATCH: Final = 16

# Texts of a batch to their summaries.
Summarize = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True)
class QuantisingCost:
    """How the summaries in int8 compare with those of the same weights in float32.

    Attributes:
      documents: held-out documents that both have summarised.
      equal: of these, the ones with the very same summary.
      rouge_l_float32, rouge_l_int8: mean ROUGE-L F1 against the references.
      standard_error: of the difference of the two means, from the pairs.
      bytes_float32, bytes_int8: size of the SavedModel's variables.
    """

    documents: int
    equal: int
    rouge_l_float32: float
    rouge_l_int8: float
    standard_error: float
    bytes_float32: int
    bytes_int8: int

    @property
    def rouge_l_change(self) -> float:
        """Below 0 where int8 is worse."""
        return self.rouge_l_int8 - self.rouge_l_float32

    @property
    def size_share(self) -> float:
        """The size in int8 as a share of that in float32."""
        return self.bytes_int8 / self.bytes_float32

    def save(self, model_dir: Path) -> None:
        """Write it beside a SavedModel."""
        path = model_dir / COST_FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, model_dir: Path) -> Self | None:
        """Read it; None where the model is not in int8.

        Raises:
          ValueError: the file is not what `save` writes.
        """
        path = model_dir / COST_FILE
        if not path.exists():
            return None
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        names = {each.name for each in fields(cls)}
        if not isinstance(found, dict) or set(found) != names:
            raise ValueError(f"{path} must have the fields {', '.join(sorted(names))}")
        return cls(**found)


def compare(
    pairs: Iterable[tuple[str, str]],
    in_float32: Summarize,
    in_int8: Summarize,
    *,
    rouge_words: str,
    sizes: tuple[int, int],
) -> QuantisingCost | None:
    """Summarise documents with both, and score them.

    Args:
      pairs: documents with their reference summaries; the first `MOST_DOCUMENTS` are used.
      in_float32, in_int8: the two models.
      rouge_words: see `EvaluationConfig.rouge_words`.
      sizes: bytes of the variables in float32 and in int8.

    Returns:
      The cost; None without any document.
    """
    scorer = Scorer(rouge_words)
    rouge: list[tuple[float, float]] = []
    equal = 0
    used = islice(pairs, MOST_DOCUMENTS)
    while batch := list(islice(used, _BATCH)):
        documents = [document for document, _ in batch]
        summaries = zip(in_float32(documents), in_int8(documents), strict=True)
        for (_, reference), (one, other) in zip(batch, summaries, strict=True):
            equal += one == other
            rouge.append((scorer.rouge(reference, one)[2], scorer.rouge(reference, other)[2]))
    if not rouge:
        return None
    count = len(rouge)
    changes = [other - one for one, other in rouge]
    mean = math.fsum(changes) / count
    variance = math.fsum((each - mean) ** 2 for each in changes) / max(1, count - 1)
    return QuantisingCost(
        documents=count,
        equal=equal,
        rouge_l_float32=math.fsum(one for one, _ in rouge) / count,
        rouge_l_int8=math.fsum(other for _, other in rouge) / count,
        standard_error=math.sqrt(variance / count),
        bytes_float32=sizes[0],
        bytes_int8=sizes[1],
    )


def variables_size(model_dir: Path) -> int:
    """Bytes of a SavedModel's variables."""
    return sum(each.stat().st_size for each in model_dir.glob("variables/*"))
