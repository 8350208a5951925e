"""What the report shows besides metrics: token counts and a sample of the summaries."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Final, Self

from pipelines.evaluation.scores import Answer

MAX_SAMPLES: Final = 12
_MAX_SAMPLE_CHARACTERS: Final = 4_000


@dataclass(slots=True)
class Material:
    """Token counts of all summaries of a slice, and a sample of them.

    Attributes:
      input_tokens, output_tokens: number of summaries for each count.
      samples: the answers with the smallest hashes of document and id, at most
        `MAX_SAMPLES`: a choice at random that is the same in every run and for every model.
        A heap of negated hash and answer; its first element is the first to go.
    """

    input_tokens: Counter[int] = field(default_factory=Counter)
    output_tokens: Counter[int] = field(default_factory=Counter)
    samples: list[tuple[int, Answer]] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        self.input_tokens[answer.input_tokens] += 1
        self.output_tokens[answer.output_tokens] += 1
        self._offer((-order_key(answer.id, answer.document), answer))

    def merge(self, others: Iterable[Self]) -> None:
        for other in others:
            self.input_tokens.update(other.input_tokens)
            self.output_tokens.update(other.output_tokens)
            for sample in other.samples:
                self._offer(sample)

    def _offer(self, sample: tuple[int, Answer]) -> None:
        if len(self.samples) < MAX_SAMPLES:
            heapq.heappush(self.samples, sample)
        else:
            heapq.heappushpop(self.samples, sample)

    def to_json(self) -> bytes:
        """Return JSON with long documents shortened, and their original length."""
        return json.dumps(
            {
                "input_tokens": sorted(self.input_tokens.items()),
                "output_tokens": sorted(self.output_tokens.items()),
                "samples": [_shortened(answer) for answer in self.answers],
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        values = json.loads(text)
        answers = [Answer(**sample) for sample in values["samples"]]
        return cls(
            Counter({int(tokens): int(count) for tokens, count in values["input_tokens"]}),
            Counter({int(tokens): int(count) for tokens, count in values["output_tokens"]}),
            [(-position, answer) for position, answer in enumerate(answers)],
        )

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Return the sample, in the order of its hashes."""
        return tuple(answer for _, answer in sorted(self.samples, reverse=True))


def order_key(identifier: str, document: str) -> int:
    """Return a number that orders examples independently of their content."""
    text = f"{identifier}\0{document}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def _shortened(answer: Answer) -> dict[str, str | int]:
    values = asdict(answer)
    for name in ("document", "reference", "summary"):
        if len(values[name]) > _MAX_SAMPLE_CHARACTERS:
            values[name] = values[name][:_MAX_SAMPLE_CHARACTERS] + " […]"
    return values
