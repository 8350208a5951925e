"""The comparison as an Apache Beam pipeline, for a log of a few records or of millions.

Each file of the log is read by one worker, and all records of one key are compared by one
worker, in memory: as many as there are requests with the same text in the window.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchAll
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from serving.billing.reconciliation.joining import join
from serving.billing.reconciliation.prediction_log import RecordError, read_record
from serving.billing.reconciliation.records import (
    COMPARED,
    NOT_BILLED_RECORDS,
    OUTSIDE,
    SAMPLED,
    UNREADABLE,
    Compared,
    Finding,
    LogsError,
    Window,
    Work,
)
from serving.billing.reconciliation.tfrecord import DamagedFileError, records

# Without a named runner Beam tries to download one.
LOCAL_RUNNER: Final = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def compare(
    logs: Sequence[str],
    billed: Iterable[Work],
    window: Window,
    temporary: str | None = None,
    beam_args: Sequence[str] = (),
) -> Compared:
    """Compare logs with what was billed.

    Args:
      logs: patterns of TFRecord files.
      billed: from the ledger; read once, and written to a file for the workers, which need
        neither the ledger's address nor its password.
      temporary: a folder that all workers can read and write; None for a folder on this
          machine.
      beam_args: Beam's options, such as another runner's.

    Raises:
      LogsError: a pattern matches no file, or the pipeline failed.
    """
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        base = f"{temporary.rstrip('/')}/{Path(folder).name}" if temporary else f"{folder}/run"
        try:
            for pattern in logs:
                if not _files(pattern):
                    raise LogsError(f"The pattern {pattern} matches no file.")
            with FileSystems.create(f"{base}-billed", "text/plain") as file:
                for work in billed:
                    file.write(f"{work.to_json()}\n".encode())
            _run(logs, f"{base}-billed", base, window, beam_args)
            return Compared(
                [Finding.from_json(line) for line in _lines(f"{base}-findings")],
                Counter(
                    {
                        (model, name): count
                        for model, name, count in map(json.loads, _lines(f"{base}-counts"))
                    }
                ),
            )
        except LogsError:
            raise
        except (BeamIOError, OSError, RuntimeError, ValueError) as error:
            raise LogsError(f"The logs cannot be compared: {error}") from error
        finally:
            if left := _files(f"{base}-*"):
                FileSystems.delete(left)


def _files(pattern: str) -> list[str]:
    return sorted(match.path for match in FileSystems.match([pattern])[0].metadata_list)


def _lines(prefix: str) -> Iterator[str]:
    for path in _files(f"{prefix}-*"):
        with FileSystems.open(path) as file:
            yield from (line.decode() for line in file)


def _run(
    logs: Sequence[str],
    billed: str,
    output: str,
    window: Window,
    beam_args: Sequence[str],
) -> None:
    """Write findings and counts as lines of JSON, to files that begin with ``output``."""
    options = PipelineOptions([LOCAL_RUNNER, *beam_args], save_main_session=False)
    with beam.Pipeline(options=options) as pipeline:
        read = (
            pipeline
            | "Patterns" >> beam.Create(list(logs))
            | "Files" >> MatchAll(EmptyMatchTreatment.DISALLOW)
            | "Names" >> beam.Map(lambda match: match.path)
            | "OneWorkerAFile" >> beam.Reshuffle()
            | "Records" >> beam.ParDo(_ReadFile(window)).with_outputs(main="work")
        )
        bills = (
            pipeline
            | "Billed" >> beam.io.ReadFromText(billed)
            | "Bill" >> beam.Map(Work.from_json)
        )
        found = {
            "answered": read["work"] | "KeyOfWork" >> beam.Map(_keyed),
            "billed": bills | "KeyOfBill" >> beam.Map(_keyed),
        } | beam.CoGroupByKey()
        findings = found | "Join" >> beam.FlatMap(_joined, window)
        (
            (findings, read["unreadable"])
            | "AllFindings" >> beam.Flatten()
            | "FindingLines" >> beam.Map(lambda finding: finding.to_json())
            | "WriteFindings" >> beam.io.WriteToText(f"{output}-findings")
        )
        (
            read["counts"]
            | "Sum" >> beam.CombinePerKey(sum)
            | "CountLines" >> beam.MapTuple(lambda key, count: json.dumps([*key, count]))
            | "WriteCounts" >> beam.io.WriteToText(f"{output}-counts")
        )


class _ReadFile(beam.DoFn):
    """A file's records as work; what is wrong with it, and counts, beside it."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def process(self, path: str) -> Iterator[Any]:
        name, number = path.rsplit("/", 1)[-1], 0
        with FileSystems.open(path) as file:
            try:
                for number, record in enumerate(records(file), start=1):
                    yield from self._work(record, f"{name}, record {number}")
            except DamagedFileError as error:
                yield self._unreadable(f"{name}, after record {number}: {error}")

    def _work(self, record: bytes, where: str) -> Iterator[Any]:
        try:
            logged = read_record(record, where)
        except RecordError as error:
            yield self._unreadable(f"{where}: {error}")
            return
        if not self._window.has(logged.at):
            yield _counted(logged.model, OUTSIDE)
        elif logged.work is None:
            yield _counted(logged.model, NOT_BILLED_RECORDS)
        else:
            yield _counted(logged.model, COMPARED)
        if logged.sampling_rate < 1:
            yield _counted(logged.model, SAMPLED)
        if logged.work is not None and self._window.reaches(logged.at):
            yield logged.work

    def _unreadable(self, what: str) -> Any:
        return beam.pvalue.TaggedOutput(
            "unreadable", Finding(self._window.since, UNREADABLE, what)
        )


def _counted(model: str, name: str) -> Any:
    return beam.pvalue.TaggedOutput("counts", ((model, name), 1))


def _keyed(work: Work) -> tuple[str, Work]:
    return work.key, work


def _joined(
    element: tuple[str, dict[str, Iterable[Work]]], window: Window
) -> Iterator[Finding]:
    sides = element[1]
    yield from join(sides["answered"], sides["billed"], window)
