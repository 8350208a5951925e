"""What holds for all tests: how many examples, in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.support.made_once import remove_made
from tests.support.sizes import sizes
from tests.support.worker_schedule import TogetherScheduling

# Seconds and path of the files that take long, written by --record-longest.
LONGEST = Path(__file__).with_name("longest_files.txt")
_LONG_FILE_S = 3.0

# No deadline: how long an example takes says more of the machine than of the code.
settings.register_profile("quick", deadline=None)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile(sizes())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-longest",
        action="store_true",
        help=f"write the files of more than {_LONG_FILE_S:.0f} s to tests/{LONGEST.name}",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Put what pytest-randomly has shuffled into the order that has to be kept.

    The tests of a file marked ``in_order`` stay as they stand there. The files that take
    longest come first, so that no core is left with one of them when the others are done.
    """
    written = {item.nodeid: place for place, item in enumerate(items)}
    yield
    of_file: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        of_file[item.path].append(item)
    for tests in of_file.values():
        if tests[0].get_closest_marker("in_order"):
            tests.sort(key=lambda item: written[item.nodeid])
    takes_s = _longest()
    root = LONGEST.parents[1]
    files = sorted(of_file, key=lambda file: -takes_s.get(str(file.relative_to(root)), 0.0))
    items[:] = [item for file in files for item in of_file[file]]


def _longest() -> dict[str, float]:
    """Seconds that files take, by path."""
    lines = LONGEST.read_text().splitlines() if LONGEST.exists() else []
    return {path: float(seconds) for seconds, path in (line.split() for line in lines)}


@pytest.hookimpl(optionalhook=True)  # only where there are workers
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> TogetherScheduling | None:
    return TogetherScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_sessionfinish() -> None:
    remove_made()
    # A worker of pytest-xdist that takes over ten seconds to exit is killed, and what it has
    # measured would be lost.
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.save()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not terminalreporter.config.getoption("--record-longest"):
        return
    takes_s: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                takes_s[report.nodeid.partition("::")[0]] += report.duration
    # What this run did not contain keeps its place.
    takes_s = _longest() | {path: s for path, s in takes_s.items() if s > _LONG_FILE_S}
    longest = sorted(takes_s.items(), key=lambda entry: -entry[1])
    LONGEST.write_text("".join(f"{s:.0f} {path}\n" for path, s in longest))
