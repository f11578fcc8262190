"""The time until the system is back at full speed, from known end times."""

from __future__ import annotations

from pathlib import Path

from chaos.event_times import handler_ends
from chaos.records import append_line
from chaos.recovery import Speed

SECOND = 1_000_000_000


def steady(from_second: float, until_second: float, rate: int) -> list[int]:
    """Return `rate` evenly spaced times for each second."""
    count = int((until_second - from_second) * rate)
    return [int((from_second + (number + 0.5) / rate) * SECOND) for number in range(count)]


def test_a_gap_is_measured_from_the_end_of_the_fault() -> None:
    speed = Speed([*steady(0, 10, 100), *steady(14, 20, 100)])
    speed.add_calm(0, 10 * SECOND)
    assert speed.recovered_ns(12 * SECOND, 13 * SECOND) is None
    recovered_ns = speed.recovered_ns(12 * SECOND, 20 * SECOND)
    assert recovered_ns is not None
    assert 13.7 <= recovered_ns / SECOND <= 13.9  # the second from then on is at full rate for four fifths


def test_a_rate_that_never_fell_has_recovered_at_once() -> None:
    speed = Speed(steady(0, 20, 50))
    speed.add_calm(0, 10 * SECOND)
    assert speed.recovered_ns(11 * SECOND, 20 * SECOND) == 11 * SECOND


def test_three_quarters_of_the_rate_are_not_full_speed() -> None:
    speed = Speed([*steady(0, 10, 100), *steady(10, 20, 75)])
    speed.add_calm(0, 10 * SECOND)
    assert speed.recovered_ns(10 * SECOND, 20 * SECOND) is None


def test_end_times_are_read_while_files_grow(tmp_path: Path) -> None:
    found = handler_ends(tmp_path)
    for at_ns in (5, 3):
        append_line(tmp_path, f"handler-{at_ns}", {"kind": "end", "run": "r", "at_ns": at_ns})
    append_line(tmp_path, "handler-3", {"kind": "start", "run": "r", "at_ns": 4})
    found.update()
    assert found.times_ns == [3, 5]
    with (tmp_path / "handler-3.jsonl").open("ab") as file:
        file.write(b'{"kind":"end","at_ns":9')
        file.flush()
        found.update()
        assert found.times_ns == [3, 5]
        file.write(b"}\n")
    found.update()
    assert found.times_ns == [3, 5, 9]
    assert found.after(3) == [5, 9]
