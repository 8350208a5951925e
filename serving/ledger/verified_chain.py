"""A tenant's chain, entry after entry, held to what it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any, Final

from serving.ledger.anchors import ChainEnd
from serving.ledger.authentication import LedgerKey, wrong_entry_code
from serving.ledger.budgets import Credit
from serving.ledger.chain import FIRST_HASH, HASHED, entry_hash, hash_of
from serving.ledger.parts import amount_of
from serving.ledger.records import SCHEMA_VERSION, Entry
from serving.ledger.sql import time_of

COUNTS: Final = ("input_tokens", "cached_tokens", "output_tokens")

ModelMonth = tuple[str, str]
"""A month, and a model."""

Counts = tuple[int, int, int]
"""Input, cached and output tokens."""

ROW_FIELDS: Final = (*HASHED, "hash", "code")
"""Of an entry, in the order in which `Chain.add_row` takes them; the month of its request
follows."""

_NOTHING: Final[Counts] = (0, 0, 0)
_MONTH_OF_REQUEST: Final = len(ROW_FIELDS)
_plain: Final = itemgetter(
    *map(
        ROW_FIELDS.index,
        (
            *("number", "kind", "model", "amount_micro", "parts", "previous_hash", "hash"),
            *("code", "schema_version", "month"),
            *COUNTS,
            *(f"{name}_before" for name in COUNTS),
        ),
    )
)
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
      credit: what was paid in advance; None: nothing.
      charged: charges of requests that are settled.
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
    spent: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tokens: dict[ModelMonth, Counts] = field(default_factory=dict)
    begins: dict[ModelMonth, Counts] = field(default_factory=dict)
    credit: Credit | None = None
    charged: int = 0

    def __post_init__(self) -> None:
        self._anchored: dict[int, list[ChainEnd]] = {}
        for end in self.anchored:
            if end.number:
                self._anchored.setdefault(end.number, []).append(end)

    def begin_after(self, number: int, previous: str) -> None:
        """Begin behind an entry that is archived; earlier anchors are held to the archive."""
        self.number, self.previous = number, previous
        for end in self._anchored.get(number, ()):
            if end.hash != previous:
                self.found(other_hash(previous, end), number)
        self._anchored = {n: ends for n, ends in self._anchored.items() if n > number}

    def found(self, what: str, number: int | None = None) -> None:
        self.findings.append(Finding(self.tenant, number, what))

    def add_row(self, row: Sequence[Any]) -> None:
        """Check the next entry, as it was read.

        Args:
          row: `ROW_FIELDS`, and the month in whose account it is; what follows is not read.
        """
        if not self._add_plain(row):
            values = dict(zip(ROW_FIELDS, row, strict=False))
            values["created_at"] = time_of(values["created_at"])
            self.add(Entry(**values), row[_MONTH_OF_REQUEST])

    def _add_plain(self, row: Sequence[Any]) -> bool:
        """Add an entry with which nothing is wrong and nothing special: nearly all are. What
        `add` finds out of an `Entry`, this compares with what is expected, as quick as it can.

        Returns:
          Whether it is such an entry; if not, nothing is changed.
        """
        number, kind, model, amount, parts, previous, own, code, version, month, *counts = (
            _plain(row)
        )
        read, cached, written, read_before, cached_before, written_before = counts
        key = month, model
        before = read_before, cached_before, written_before
        if (
            number != self.number + 1
            or previous != self.previous
            or month != row[_MONTH_OF_REQUEST]
            or version != SCHEMA_VERSION
            or kind == "top_up"
            or (self.keys and (not code or wrong_entry_code(self.keys, own, code)))
            or number in self._anchored
            or before != self.begins.get(key, _NOTHING)
            or own != hash_of(row)
        ):
            return False
        try:
            total = amount_of(parts)
        except ValueError:
            return False
        if total is not None and total != amount:
            return False
        self.checked += 1
        self.unauthenticated += not code
        self.authenticated = self.authenticated or bool(code)
        self.number, self.previous = number, own
        self._count(kind, key, amount, (read, cached, written))
        self.begins[key] = (
            read_before + read,
            cached_before + cached,
            written_before + written,
        )
        return True

    def _count(self, kind: str, key: ModelMonth, amount: int, used: Counts) -> None:
        month = key[0]
        self.spent[month] = self.spent.get(month, 0) + amount
        self.counts[month] = self.counts.get(month, 0) + 1
        self.tokens[key] = _sum(self.tokens.get(key, _NOTHING), used)
        if kind == "charge":
            self.charged += 1
        if self.credit is not None:
            self.credit.used_micro += amount

    def add(self, entry: Entry, month: str | None) -> None:
        """Check the next entry.

        Args:
          month: in whose account it is; None: it has no request that was settled.
        """
        self.checked += 1
        self._check_link(entry)
        if entry.kind == "top_up":
            self._top_up(entry)
            return
        if month is None:
            self.found("has no request that was settled", entry.number)
            return
        key = month, entry.model
        begins = self.begins.get(key, _NOTHING)
        used = _used(entry)
        self._count(entry.kind, key, entry.amount_micro, used)
        if entry.schema_version != 1:  # which says nothing of it
            for what in _misplaced(entry, month, begins):
                self.found(what, entry.number)
            # From what it says itself: one wrong entry is not the fault of all after it.
            begins = _before(entry)
        self.begins[key] = _sum(begins, used)

    def _top_up(self, entry: Entry) -> None:
        if any(_used(entry)):
            self.found("is a top-up, and has tokens", entry.number)
        self.credit = self.credit or Credit(entry.number)
        self.credit.add(entry)

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
                self.found(other_hash(entry.hash, end), entry.number)
        self.number, self.previous = entry.number, entry.hash

    def _check_code(self, entry: Entry) -> None:
        self.unauthenticated += not entry.code
        before, self.authenticated = self.authenticated, self.authenticated or bool(entry.code)
        if not self.keys:
            return
        if entry.code:
            if wrong := wrong_entry_code(self.keys, entry.hash, entry.code):
                self.found(wrong, entry.number)
        elif before:
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
        if said == expected:
            return
        for month in sorted({*said, *expected}):
            if (account := said.get(month, 0)) != (total := expected.get(month, 0)):
                self.found(
                    f"{account} millionths are {what} in {month} according to its account. "
                    f"Expected: {total}, according to its entries and reservations"
                )

    def check_counts(self, said: Mapping[str, int]) -> None:
        """Hold the numbers of entries that the accounts say to those that there are."""
        if said == self.counts:
            return
        for month in sorted({*said, *self.counts}):
            if (count := said.get(month, 0)) != (expected := self.counts.get(month, 0)):
                self.found(
                    f"{count} entries are counted in {month} according to its account. "
                    f"Expected: {expected}"
                )

    def check_credit(self, said: Credit | None) -> None:
        """Hold what is written down of the tenant's credit to its entries."""
        if said != self.credit:
            self.found(
                f"its credit is {said}. Expected: {self.credit}, according to its entries"
            )

    def check_tokens(self, said: Mapping[ModelMonth, Counts]) -> None:
        """Hold what the next request of a month would begin with to the entries."""
        if said == self.tokens:
            return
        for key in sorted({*said, *self.tokens}):
            month, model = key
            pairs = zip(said.get(key, _NOTHING), self.tokens.get(key, _NOTHING), strict=True)
            for name, (counted, expected) in zip(COUNTS, pairs, strict=True):
                if counted != expected:
                    self.found(
                        f"{counted} {name} of {model} are counted in {month}. Expected: "
                        f"{expected}, according to its entries"
                    )


def other_hash(found: str, end: ChainEnd) -> str:
    """What is wrong with an entry that an anchor knows by another hash."""
    return f"has the hash {found}. Expected: {end.hash}, according to the anchor of {end.at}"


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
