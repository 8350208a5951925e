"""Measures a trained model on held-out documents: engines take turns at every batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from benchmarks.decode.engines import OURS
from benchmarks.decode.trained_results import COPIED_IDS, Batches, Summarised
from benchmarks.timings import moved_on
from benchmarks.worker import Worker, WorkerError

Row = list[int]


def batches_of(rows: Sequence[Row], size: int, most: int) -> list[list[Row]]:
    """Full batches of rows, one behind the other, so many at most.

    Raises:
      SystemExit: there is not one full batch.
    """
    starts = range(0, len(rows) - size + 1, size)
    batches = [list(rows[start : start + size]) for start in starts[:most]]
    if not batches:
        raise SystemExit(
            f"the corpus has too few held-out documents. Expected: {size} or more. Received: "
            f"{len(rows)}"
        )
    return batches


def measure_batches(
    workers: Mapping[str, Worker], batches: Sequence[list[Row]], ids_out: int
) -> Batches:
    """Let engines take turns at batches, each of which is summarised twice.

    The first time is not counted: engines trace, compile and allocate in it, at every shape
    that there is. The order rotates by one with each batch, so that every engine follows every
    other.

    Args:
      workers: the engines, by name.
      batches: rows as the encoder reads them.
      ids_out: the most ids that are written for a row.
    """
    failures: dict[str, str] = {}
    written: dict[str, list[list[Row]]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    names = list(workers)
    for counted in (False, True):
        for turn, rows in enumerate(batches):
            for name in moved_on(names, turn):
                if name in failures:
                    continue
                try:
                    answer = workers[name].ask({"rows": rows, "ids_out": ids_out})
                except WorkerError as error:
                    failures[name] = str(error)
                    print(f"{len(rows)} rows: {name} failed: {error}", flush=True)
                    continue
                if not counted:
                    written[name].append(answer["ids"])
                elif answer["ids"] != written[name][turn]:
                    failures[name] = "gave another answer to the same input"
                else:
                    seconds[name].append(answer["seconds"])
    expected = None if OURS in failures or OURS not in workers else written[OURS]
    engines = {
        name: Summarised(failure=failures[name])
        if name in failures
        else Summarised(tuple(seconds[name]), _equal(written[name], expected))
        for name in names
    }
    read = [row for rows in batches for row in rows]
    summaries = [row for rows in expected for row in rows] if expected else []
    return Batches(
        rows=len(batches[0]),
        count=len(batches),
        ids_in=_mean_length(read),
        ids_out=_mean_length(summaries) if summaries else None,
        copied=copied_share(read, summaries) if summaries else None,
        engines=engines,
    )


def copied_share(documents: Sequence[Row], summaries: Sequence[Row]) -> float | None:
    """The share of the summaries' sequences of `COPIED_IDS` ids that their documents have.

    Args:
      documents: ids of each.
      summaries: ids of each document's, EOS and all.

    Returns:
      From 0 to 1; None if no summary has so many ids.
    """
    found = [
        sequence in known
        for document, summary in zip(documents, summaries, strict=True)
        for known in [set(_sequences(document))]
        for sequence in _sequences(summary)
    ]
    return sum(found) / len(found) if found else None


def _sequences(row: Row) -> list[tuple[int, ...]]:
    return [tuple(row[at : at + COPIED_IDS]) for at in range(len(row) - COPIED_IDS + 1)]


def _equal(written: Sequence[list[Row]], expected: Sequence[list[Row]] | None) -> int | None:
    """Rows that are the same ids, EOS and all."""
    if expected is None:
        return None
    return sum(
        row == wanted
        for rows, others in zip(written, expected, strict=True)
        for row, wanted in zip(rows, others, strict=True)
    )


def _mean_length(rows: Sequence[Row]) -> float:
    return sum(map(len, rows)) / len(rows)
