"""An outcome is valid JSON whatever a handler returned or raised, and retried as its handler says."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from laneway.handlers import Cancelled, Permanent, Spec
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.worker import outcomes

LEASE = Lease("7", "ann", "0" * 25, "work", b"null", 1, 3, suspect=False)
SPEC = Spec("work", print, False, False, 3, 2, 5, None, None)


def raised(error: BaseException, number: int = 1, *, stop: bool = False) -> Outcome:
    return outcomes.raised(LEASE._replace(attempt=number), SPEC, 5, error, asked_to_stop=stop)


@pytest.mark.parametrize(
    ("value", "body"), [(None, b"null"), ({"a": [1, "ä"]}, '{"a":[1,"ä"]}'.encode()), (float("inf"), b"null")]
)
def test_a_result_is_kept_as_json(value: object, body: bytes) -> None:
    assert outcomes.returned(LEASE, 5, value, 100) == Outcome(LEASE, JobState.SUCCEEDED, 5, body)


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
    many = LEASE._replace(attempt=9, max_attempts=100)
    assert outcomes.failed_attempt(many, SPEC, 5, b"{}").delay_seconds == 5


@pytest.mark.parametrize(("backoff_seconds", "delay_seconds"), [(0.0, 0), (0.5, 5)])
def test_thousands_of_attempts_have_a_backoff(backoff_seconds: float, delay_seconds: float) -> None:
    spec = replace(SPEC, backoff_seconds=backoff_seconds)
    late = LEASE._replace(attempt=5000, max_attempts=10_000)
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
    last = outcomes.cut_short(LEASE._replace(attempt=3), 5, "why")
    assert (first.state, first.delay_seconds, last.state) == (JobState.QUEUED, 0, JobState.QUEUED)


def test_error_texts_are_cut_and_valid() -> None:
    assert orjson.loads(outcomes.error_text("E\ud800", "\udfff" + "x" * 10_000)) == {
        "type": "E\\ud800",
        "message": "\\udfff" + "x" * (outcomes.MAX_MESSAGE_CHARACTERS - 1),
    }
