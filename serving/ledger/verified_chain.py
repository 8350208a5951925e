"""A tenant's chain, entry after entry, held to what it must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from serving.ledger.anchors import ChainEnd
from serving.ledger.authentication import LedgerKey, wrong_entry_code
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.parts import amount_of
from serving.ledger.records import Entry

COUNTS: Final = ("input_tokens", "cached_tokens", "output_tokens")

ModelMonth = tuple[str, str]
"""A month, and a model."""

Counts = tuple[int, int, int]
"""Input, cached and output tokens."""

_NOTHING: Final[Counts] = (0, 0, 0)
_used: Final = attrgetter(*COUNTS)
_before: Final = attrgetter(*(f"{name}_before" for name in COUNTS))


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be.

    Attributes:
      tenant: whose ledger.
      number: the entry; None where it is not one entry's fault.
      what: what is wrong.
    """

    tenant: str
    number: int | None
    what: str

    def __str__(self) -> str:
        entry = "" if self.number is None else f", entry {self.number}"
        return f"{self.tenant}{entry}: {self.what}"


@dataclass
class Chain:
    """A tenant's chain, as far as it has been read.

    Attributes:
      keys: see `serving.ledger.verification.check`.
      anchored: what its end was at some times.
      number, previous: of the last entry.
      authenticated: whether an entry was.
      spent: in millionths, by month.
      counts: entries, by month.
      tokens: by month and model.
      begins: where the next entry must say that it begins.
    """

    tenant: str
    keys: Sequence[LedgerKey] = ()
    anchored: Sequence[ChainEnd] = ()
    number: int = 0
    previous: str = FIRST_HASH
    checked: int = 0
    unauthenticated: int = 0
    authenticated: bool = False
    findings: list[Finding] = field(default_factory=list)
    spent: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    tokens: dict[ModelMonth, Counts] = field(default_factory=dict)
    begins: dict[ModelMonth, Counts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._anchored: dict[int, list[ChainEnd]] = {}
        for end in self.anchored:
            if end.number:
                self._anchored.setdefault(end.number, []).append(end)

    def found(self, what: str, number: int | None = None) -> None:
        self.findings.append(Finding(self.tenant, number, what))

    def add(self, entry: Entry, month: str | None) -> None:
        """Check the next entry.

        Args:
          month: in whose account it is; None: it has no request that was settled.
        """
        self.checked += 1
        self._check_link(entry)
        if month is None:
            self.found("has no request that was settled", entry.number)
            return
        key = month, entry.model
        begins = self.begins.get(key, _NOTHING)
        self.spent[month] += entry.amount_micro
        self.counts[month] += 1
        used = _used(entry)
        self.tokens[key] = _sum(self.tokens.get(key, _NOTHING), used)
        if entry.schema_version != 1:  # which says nothing of it
            for what in _misplaced(entry, month, begins):
                self.found(what, entry.number)
            # From what it says itself: one wrong entry is not the fault of all after it.
            begins = _before(entry)
        self.begins[key] = _sum(begins, used)

    def _check_link(self, entry: Entry) -> None:
        if entry.number != self.number + 1:
            missing = f"{self.number + 1}" + (
                f" to {entry.number - 1}" if entry.number > self.number + 2 else ""
            )
            self.found(f"before it, {missing} is missing", entry.number)
        elif entry.previous_hash != self.previous:
            self.found("does not hold the hash of the entry before it", entry.number)
        if entry.hash != entry_hash(entry):
            self.found("was changed: its hash does not match", entry.number)
        self._check_code(entry)
        for end in self._anchored.pop(entry.number, ()):
            if end.hash != entry.hash:
                self.found(
                    f"has the hash {entry.hash}. Expected: {end.hash}, according to the anchor "
                    f"of {end.at}",
                    entry.number,
                )
        self.number, self.previous = entry.number, entry.hash

    def _check_code(self, entry: Entry) -> None:
        self.unauthenticated += not entry.code
        if not self.keys:
            return
        if entry.code:
            self.authenticated = True
            if wrong := wrong_entry_code(self.keys, entry.hash, entry.code):
                self.found(wrong, entry.number)
        elif self.authenticated:
            self.found("is not authenticated. Entries before it are", entry.number)

    def gone(self) -> list[Finding]:
        """What is wrong if nothing is left of the tenant."""
        self._check_anchors()
        return self.findings

    def _check_anchors(self) -> None:
        """Entries that were the end once, and were not read."""
        for number in sorted(self._anchored):
            for end in self._anchored[number]:
                self.found(
                    f"entry {number} is missing, which was its last according to the anchor of "
                    f"{end.at}"
                )

    def check_end(self, end: tuple[int, str] | None) -> None:
        """Hold the chain's end to what is written down of it; None: nothing is."""
        self._check_anchors()
        if end is None:
            self.found("its chain is missing. Expected: a row of chains for every tenant")
        elif end != (self.number, self.previous):
            self.found(
                f"its chain ends with entry {end[0]}, hash {end[1]}. Found: "
                f"{self.number}, {self.previous}"
            )

    def check_sums(
        self, what: str, said: Mapping[str, int], expected: Mapping[str, int]
    ) -> None:
        """Hold the accounts of the months to what the rows add up to."""
        for month in sorted({*said, *expected}):
            if (account := said.get(month, 0)) != (total := expected.get(month, 0)):
                self.found(
                    f"{account} millionths are {what} in {month} according to its account. "
                    f"Expected: {total}, according to its entries and reservations"
                )

    def check_counts(self, said: Mapping[str, int]) -> None:
        """Hold the numbers of entries that the accounts say to those that there are."""
        for month in sorted({*said, *self.counts}):
            if (count := said.get(month, 0)) != self.counts[month]:
                self.found(
                    f"{count} entries are counted in {month} according to its account. "
                    f"Expected: {self.counts[month]}"
                )

    def check_tokens(self, said: Mapping[ModelMonth, Counts]) -> None:
        """Hold what the next request of a month would begin with to the entries."""
        for key in sorted({*said, *self.tokens}):
            month, model = key
            pairs = zip(said.get(key, _NOTHING), self.tokens.get(key, _NOTHING), strict=True)
            for name, (counted, expected) in zip(COUNTS, pairs, strict=True):
                if counted != expected:
                    self.found(
                        f"{counted} {name} of {model} are counted in {month}. Expected: "
                        f"{expected}, according to its entries"
                    )


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _misplaced(entry: Entry, month: str, begins: Counts) -> Iterator[str]:
    """What is wrong with what an entry says of its position in the month, and of its parts."""
    if entry.month != month:
        yield f"is in the month {entry.month}. Expected: {month}, of its reservation"
    before = _before(entry)
    if before != begins:
        for name, said, expected in zip(COUNTS, before, begins, strict=True):
            if said != expected:
                yield (
                    f"has {said} {name} before it. Expected: {expected}, according to the "
                    "entry before it"
                )
    try:
        total = amount_of(entry.parts)
    except ValueError as error:
        yield str(error)
        return
    if total is not None and total != entry.amount_micro:
        yield (
            f"costs {entry.amount_micro} millionths. Expected: {total}, according to its parts"
        )
