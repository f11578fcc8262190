"""Which lines are new to a reader of a log, when events and the log itself arrive in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from laneway.client.models import JobLog, LoggedRun, LogLine
from laneway.client.seen_lines import SeenLines

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def lines(first: int, last: int, *, run: int = 1) -> list[LogLine]:
    """Lines of a run, which goes on for a minute."""
    return [
        LogLine(number, BEGIN + timedelta(minutes=run, seconds=number), "info", f"{run}.{number}")
        for number in range(first, last + 1)
    ]


def log(*runs: tuple[str, list[LogLine]], dropped: int = 0) -> JobLog:
    return JobLog(
        "job",
        dropped,
        [LoggedRun(number, state, None, None, found) for number, (state, found) in enumerate(runs, 1)],
    )


def test_a_line_that_arrives_twice_is_new_once() -> None:
    seen = SeenLines()
    assert seen.in_event(lines(1, 2)) == lines(1, 2)
    assert seen.in_event(lines(2, 3)) == lines(3, 3)
    assert seen.in_log(log(("running", lines(1, 4)))) == lines(4, 4)
    assert seen.in_log(log(("ended", lines(1, 5)))) == lines(5, 5)
    assert seen.in_log(log(("ended", lines(1, 5)))) == []


def test_an_event_about_a_run_that_was_read_to_its_end_has_nothing_new() -> None:
    seen = SeenLines()
    assert seen.in_log(log(("ended", lines(1, 3)))) == lines(1, 3)
    assert seen.in_event(lines(2, 3)) == []
    assert seen.in_event(lines(1, 1, run=2)) == lines(1, 1, run=2)


def test_lines_between_are_asked_for() -> None:
    seen = SeenLines()
    assert seen.in_event(lines(1, 2)) == lines(1, 2)
    assert seen.in_event(lines(5, 6)) is None
    assert seen.in_log(log(("running", lines(1, 6)))) == lines(3, 6)


def test_runs_that_had_no_room_are_passed_over() -> None:
    seen = SeenLines()
    seen.in_log(log(("ended", lines(1, 1))))
    found = log(("ended", lines(1, 1, run=4)), ("running", lines(1, 1, run=5)), dropped=3)
    assert seen.in_log(found) == [*lines(1, 1, run=4), *lines(1, 1, run=5)]
