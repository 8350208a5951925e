"""Reports of validators as the validators write them: blessed, not blessed, unreadable."""

from pathlib import Path

from components.meter_validator.check import Check
from components.meter_validator.report import write_reports
from components.serving_validator.report import Mismatch, Report
from pipelines.report.model import Missing
from pipelines.report.run_records import ArtifactRecord
from pipelines.report.validators import (
    read_meter_validation,
    read_promotion,
    read_serving_validation,
)


def blessing_at(path: Path) -> ArtifactRecord:
    return ArtifactRecord(1, "MeterBlessing", "blessing", str(path), {})


def test_reads_meter_mismatches_in_words(tmp_path: Path) -> None:
    counts = Check("documents", "counts equal the library's")
    for number in range(10):
        counts.equal(f"document {number}", 4, 4 if number % 5 == 0 else 5)
    unreached = Check("answers", "rows hold to the contract", not_run="nothing to check")
    write_reports([counts, unreached], {"model": "m", "seed": 3, "duration_s": 1.5}, tmp_path)

    found = read_meter_validation(blessing_at(tmp_path))

    assert not found.blessed
    assert [check.passed for check in found.checks] == [False, False]
    assert (found.checks[0].cases, found.checks[0].mismatches) == (10, 8)
    assert len(found.checks[0].examples) == 5
    assert found.checks[0].examples[0] == "document 1: expected 4, received 5"
    assert found.checks[1].not_run == "nothing to check"
    assert found.facts == (("seed", "3"), ("duration", "1.5 s"))


def test_reads_serving_mismatches_in_words(tmp_path: Path) -> None:
    report = Report("local", "a server", "summarizer", reason="1 answer differs.", requests=2)
    report.mismatches.append(Mismatch(0, "serving_default", "REST", "summary", 1, "a", "b"))
    report.server_log = "the end"
    report.save(tmp_path / "report.json")

    found = read_serving_validation(blessing_at(tmp_path))

    assert not found.blessed
    assert found.startup_s is None
    assert found.mismatches_total == 1
    assert found.mismatches == (
        "request 0 (serving_default) over REST, output summary, row 1: expected 'a', "
        "received 'b'",
    )
    assert found.server_log == "the end"


def test_says_what_cannot_be_read(tmp_path: Path) -> None:
    readers = (read_meter_validation, read_serving_validation, read_promotion)
    for read in readers:
        assert "did not run" in read(None).reason
        assert "could not be read" in read(blessing_at(tmp_path)).reason
    (tmp_path / "report.json").write_text('{"blessed": true}')
    for read in readers:
        found = read(blessing_at(tmp_path))
        assert isinstance(found, Missing)
        assert "could not be understood" in found.reason
    (tmp_path / "report.json").write_text("[")
    assert "could not be read" in read_meter_validation(blessing_at(tmp_path)).reason
