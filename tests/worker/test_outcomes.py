"""An outcome is valid JSON whatever a handler returned or raised, and retried as its handler says."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum

import msgspec
import orjson
import pytest

from laneway.handlers import Cancelled, Permanent, Spec
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.worker import outcomes

LEASE = Lease("7", "ann", "0" * 25, "work", b"null", 1, 3, suspect=False)
SPEC = Spec("work", print, False, False, 3, 2, 5, None, None)


def raised(error: BaseException, number: int = 1, *, stop: bool = False) -> Outcome:
    return outcomes.raised(msgspec.structs.replace(LEASE, attempt=number), SPEC, 5, error, asked_to_stop=stop)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, b"null"),
        ({"a": [1, "ä"]}, '{"a":[1,"ä"]}'.encode()),
        ([None, 0.5, -0.0, "null", {"nan": None}], b'[null,0.5,-0.0,"null",{"nan":null}]'),
        (1e308, b"1e+308"),
    ],
)
def test_a_result_is_kept_as_json(value: object, body: bytes) -> None:
    assert outcomes.returned(LEASE, 5, value, 100) == Outcome(LEASE, JobState.SUCCEEDED, 5, body)


class _Float(float):
    """A float of another class, as numpy.float64 is one."""


class _Level(Enum):
    NONE = math.nan


@dataclass
class _Point:
    x: float
    y: object = None


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (math.nan, "#"),
        (math.inf, "#"),
        (-math.inf, "#"),
        ([None, 1.0, math.nan, math.inf], "#/2"),
        ({"a": None, "b": {"c": (1, [math.inf])}}, "#/b/c/1/0"),
        (_Level.NONE, "#"),
        ([{"level": _Level.NONE}], "#/0/level"),
        (_Point(1.0, [math.nan]), "#/y/0"),
    ],
)
def test_a_result_with_nan_or_infinity_fails_for_good_and_says_where(value: object, place: str) -> None:
    outcome = outcomes.returned(LEASE, 5, value, 1000)
    error = orjson.loads(outcome.body)
    assert (outcome.state, error["type"]) == (JobState.FAILED, "ResultNotJSON")
    assert f"NaN and no Infinity, and {place} is one" in error["message"]


@pytest.mark.parametrize(
    "value",
    [
        {math.nan: 1},
        {1.5: 1},
        {1, 2},
        frozenset(),
        Decimal("9999999999999999.01"),
        Decimal("nan"),
        [_Float(1.5)],
        _Float(math.nan),
        1j,
        b"bytes",
        array("d", [math.nan]),
    ],
    ids=repr,
)
def test_what_json_cannot_hold_fails_for_good_and_is_not_changed_into_something_else(value: object) -> None:
    outcome = outcomes.returned(LEASE, 5, value, 1000)
    assert (outcome.state, orjson.loads(outcome.body)["type"]) == (JobState.FAILED, "ResultNotJSON")


def test_the_largest_result_is_kept_and_a_larger_one_fails() -> None:
    assert outcomes.returned(LEASE, 5, "x" * 8, 10).state == JobState.SUCCEEDED
    assert outcomes.returned(LEASE, 5, "x" * 9, 10).state == JobState.FAILED


def test_the_backoff_doubles_up_to_its_limit_and_ends_with_the_attempts() -> None:
    ends = [raised(RuntimeError("no"), number) for number in (1, 2, 3)]
    assert [(o.state, o.delay_seconds) for o in ends] == [
        (JobState.RETRYING, 2),
        (JobState.RETRYING, 4),
        (JobState.FAILED, 0),
    ]
    many = msgspec.structs.replace(LEASE, attempt=9, max_attempts=100)
    assert outcomes.failed_attempt(many, SPEC, 5, b"{}").delay_seconds == 5


@pytest.mark.parametrize(("backoff_seconds", "delay_seconds"), [(0.0, 0), (0.5, 5)])
def test_thousands_of_attempts_have_a_backoff(backoff_seconds: float, delay_seconds: float) -> None:
    spec = replace(SPEC, backoff_seconds=backoff_seconds)
    late = msgspec.structs.replace(LEASE, attempt=5000, max_attempts=10_000)
    assert outcomes.failed_attempt(late, spec, 5, b"{}").delay_seconds == delay_seconds


@pytest.mark.parametrize("error", [Permanent("no"), Cancelled("no")])
def test_what_is_permanent_is_not_retried(error: Exception) -> None:
    assert raised(error).state == JobState.FAILED


def test_whatever_a_job_raises_that_was_asked_to_stop_it_is_cancelled() -> None:
    assert [raised(e, stop=True).state for e in (RuntimeError(), Permanent(), Cancelled())] == [
        JobState.CANCELLED
    ] * 3


def test_a_run_that_was_cut_short_comes_back_at_once_whatever_its_attempts() -> None:
    first = outcomes.cut_short(LEASE, 5, "why")
    last = outcomes.cut_short(msgspec.structs.replace(LEASE, attempt=3), 5, "why")
    assert (first.state, first.delay_seconds, last.state) == (JobState.QUEUED, 0, JobState.QUEUED)


def test_error_texts_are_cut_and_valid() -> None:
    assert orjson.loads(outcomes.error_text("E\ud800", "\udfff" + "x" * 10_000)) == {
        "type": "E\\ud800",
        "message": "\\udfff" + "x" * (outcomes.MAX_MESSAGE_CHARACTERS - 1),
    }
