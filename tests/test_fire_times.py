"""When schedules fire: cron in a time zone, intervals, the nights when clocks change, and what to do about missed times."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway.choices import Missed
from laneway.fire_times import (
    MAX_MISSED,
    ON_TIME_SECONDS,
    Cron,
    Every,
    InvalidTiming,
    Timing,
    due_times,
    fire_times,
)

BERLIN = "Europe/Berlin"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(timing: Timing, after: str, count: int) -> list[str]:
    return [f"{time:%d %H:%M}" for time in islice(fire_times(timing, utc(after)), count)]


def test_cron_fires_at_the_wall_clock_of_its_time_zone() -> None:
    work = Cron("0 9 * * 1-5", BERLIN)
    assert hours(work, "2026-03-26T09:00", 3) == ["27 08:00", "30 07:00", "31 07:00"]
    assert hours(Cron("0 9 * * 1-5", "UTC"), "2026-03-26T09:00", 2) == ["27 09:00", "30 09:00"]
    assert hours(Cron("0 0 L * *", "UTC"), "2026-02-01", 1) == ["28 00:00"]


def test_a_time_that_does_not_exist_fires_after_the_gap() -> None:
    """On 29 March 2026 clocks in Berlin go from 2:00 to 3:00, which is 1:00 in UTC."""
    assert hours(Cron("30 2 * * *", BERLIN), "2026-03-28T12:00", 2) == ["29 01:00", "30 00:30"]
    assert hours(Cron("0,30 2 * * *", BERLIN), "2026-03-28T12:00", 2) == ["29 01:00", "30 00:00"], "once"
    assert hours(Cron("*/30 2 * * *", BERLIN), "2026-03-28T12:00", 1) == ["30 00:00"], "the hour is missing"


def test_a_time_that_exists_twice_fires_the_first_time() -> None:
    """On 25 October 2026 clocks in Berlin go from 3:00 back to 2:00, which is 1:00 in UTC."""
    assert hours(Cron("30 2 * * *", BERLIN), "2026-10-24T12:00", 2) == ["25 00:30", "26 01:30"]
    assert hours(Cron("30 2 * * *", BERLIN), "2026-10-25T01:10", 1) == ["26 01:30"], "the second 2:10"
    both = ["25 00:00", "25 00:30", "25 01:00", "25 01:30", "26 01:00"]
    assert hours(Cron("*/30 2 * * *", BERLIN), "2026-10-24T12:00", 5) == both, "real time is counted"
    assert hours(Cron("0 * * * *", BERLIN), "2026-10-24T23:30", 3) == ["25 00:00", "25 01:00", "25 02:00"]


@given(
    st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 */3 * * *", "15 1-3 * * *", "0 0 29 2 *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - they get a zone
)
def test_the_next_fire_time_depends_on_nothing_but_the_moment(
    expression: str, zone: str, moment: datetime
) -> None:
    timing = Cron(expression, zone)
    first = timing.after(moment)
    assert first > moment
    assert timing.after(moment + (first - moment) / 2) == first
    assert timing.after(first - timedelta(microseconds=1)) == first


def test_an_interval_counts_from_its_start() -> None:
    timing = Every(90, utc("2026-06-01T12:00:07"))
    assert hours(timing, "2020-01-01", 2) == ["01 12:01", "01 12:03"], "the start itself is none"
    assert timing.after(utc("2026-06-01T12:01:37")) == utc("2026-06-01T12:03:07")
    assert timing.after(utc("2027-06-01T12:01:36")) - utc("2027-06-01T12:01:36") <= timedelta(seconds=90)


@pytest.mark.parametrize(
    ("expression", "zone", "field"),
    [
        ("", "UTC", "cron"),
        ("* * * *", "UTC", "cron"),
        ("* * * * * *", "UTC", "cron"),
        ("60 * * * *", "UTC", "cron"),
        ("* * * * mondays", "UTC", "cron"),
        ("0 0 30 2 *", "UTC", "cron"),
        ("0 0 0 0 0", "UTC", "cron"),
        ("1," * 60 + "1 * * * *", "UTC", "cron"),
        ("* * * * *", "Berlin", "time_zone"),
        ("* * * * *", "Europe", "time_zone"),
        ("* * * * *", "../../etc/passwd", "time_zone"),
        ("* * * * *", "", "time_zone"),
        ("* * * * *", "localtime", "time_zone"),  # another one on each machine
        ("* * * * *", "right/UTC", "time_zone"),
    ],
)
def test_a_timing_that_cannot_be_used_says_which_part_of_it(expression: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidTiming) as refused:
        Cron(expression, zone).after(NOON)
    assert refused.value.field == field


def test_time_zones_need_no_database_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim image has none: then Python reads the package `tzdata`."""
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert hours(Cron("0 9 * * *", BERLIN), "2026-06-01T12:00", 1) == ["02 07:00"]
    finally:
        zoneinfo.reset_tzpath()


def times_to(now: datetime, timing: Timing, first: datetime) -> list[datetime]:
    return [first, *takewhile(lambda time: time <= now, fire_times(timing, first))]


@pytest.mark.parametrize("timing", [Every(60, NOON), Cron("* * * * *", BERLIN)])
def test_missed_fire_times_by_policy(timing: Timing) -> None:
    first, now = timing.after(NOON), NOON + timedelta(minutes=7, seconds=30)
    every = times_to(now, timing, first)
    assert len(every) == 7
    assert due_times(timing, Missed.ALL, first, now) == every
    assert due_times(timing, Missed.ONCE, first, now) == every[-1:]
    assert due_times(timing, Missed.SKIP, first, now) == every[-1:], "the last one is on time"


def test_skip_fires_nothing_that_is_late() -> None:
    timing = Every(3600, NOON)
    first = timing.after(NOON)
    on_time = first + timedelta(seconds=ON_TIME_SECONDS)
    assert due_times(timing, Missed.SKIP, first, on_time) == [first]
    assert due_times(timing, Missed.SKIP, first, on_time + timedelta(milliseconds=1)) == []
    assert due_times(timing, Missed.ONCE, first, on_time + timedelta(milliseconds=1)) == [first]


@pytest.mark.parametrize("timing", [Every(10, NOON), Cron("*/5 * * * *", BERLIN), Cron("0 0 1 * *", "UTC")])
def test_all_is_bounded_to_the_latest_after_a_long_outage(timing: Timing) -> None:
    first, now = timing.after(NOON), NOON + timedelta(days=4000)
    due = due_times(timing, Missed.ALL, first, now)
    assert len(due) == MAX_MISSED
    assert times_to(now, timing, due[0]) == due
    assert due_times(timing, Missed.ONCE, first, now) == due[-1:]
