"""Five fields of a crontab, and the same times as systemd writes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.schedule.cron_field import CronError
from pipelines.schedule.times import read_times


@pytest.mark.parametrize(
    ("cron", "on_calendar"),
    [
        ("0 3 * * *", "*-*-* 03:00:00"),
        ("  0   3 * * * ", "*-*-* 03:00:00"),
        ("* * * * *", "*-*-* *:*:00"),
        ("*/20 6-8 * * *", "*-*-* 06,07,08:00,20,40:00"),
        ("5/20 0,12 * * *", "*-*-* 00,12:05,25,45:00"),
        ("30 4 1,15 * *", "*-*-01,15 04:30:00"),
        ("30 4 31 jan-mar,DEC *", "*-01,02,03,12-31 04:30:00"),
        ("0 22 * * mon-fri", "Mon,Tue,Wed,Thu,Fri *-*-* 22:00:00"),
        ("0 22 * * 0", "Sun *-*-* 22:00:00"),
        ("0 22 * * 6-7", "Sat,Sun *-*-* 22:00:00"),
        ("0 22 * * 0-7", "*-*-* 22:00:00"),
        ("0 22 */10 * 1-7", "*-*-01,11,21,31 22:00:00"),
    ],
)
def test_times_are_the_same_for_cron_and_for_systemd(cron: str, on_calendar: str) -> None:
    times = read_times(cron)
    assert times.on_calendar == on_calendar
    assert times.cron == " ".join(cron.split())


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 3 * * *", "five fields.*Received 6.*Kubeflow's"),
        ("3 * * *", "Received 4"),
        ("", "Received 0"),
        ("@daily", "five fields"),
        ("60 3 * * *", "minutes must be .* 0 to 59.*Received: '60' in '60 3"),
        ("0 24 * * *", "hours must be"),
        ("0 3 0 * *", "day of the month must be"),
        ("0 3 * 13 *", "month must be"),
        ("0 3 * * 8", "day of the week must be"),
        ("0 3 * * mo", "day of the week must be"),
        ("0-99 3 * * *", "minutes must be"),
        ("9-1 3 * * *", "minutes must be"),
        ("*/0 3 * * *", "minutes must be"),
        ("1,,2 3 * * *", "minutes must be"),
        ("? 3 * * *", "minutes must be"),
        ("0 3 -1 * *", "day of the month must be"),
        ("0 3 13 * 5", "days of the month and days of the week"),
    ],
)
def test_what_is_no_crontabs_time_is_refused(cron: str, expected: str) -> None:
    with pytest.raises(CronError, match=expected):
        read_times(cron)


@given(
    st.frozensets(st.integers(0, 59), min_size=1),
    st.frozensets(st.integers(0, 23), min_size=1),
    st.frozensets(st.integers(0, 6), min_size=1),
)
def test_lists_of_numbers_are_kept(
    minutes: frozenset[int], hours: frozenset[int], weekdays: frozenset[int]
) -> None:
    written = [",".join(map(str, values)) for values in (minutes, hours, weekdays)]
    times = read_times(f"{written[0]} {written[1]} * * {written[2]}")
    assert (times.minutes, times.hours, times.weekdays) == (minutes, hours, weekdays)
    shown = re.fullmatch(r"(?:[\w,]+ )?\*-\*-\* ([\d,*]+):([\d,*]+):00", times.on_calendar)
    assert shown
    if len(hours) < 24:
        assert [int(hour) for hour in shown[1].split(",")] == sorted(hours)
