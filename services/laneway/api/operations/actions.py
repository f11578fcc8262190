"""What an operation does to its pending jobs. Doing it twice changes nothing, and counts nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from laneway.api import metrics
from laneway.api.lookup import find
from laneway.api.problem import Problem
from laneway.api.retrying import retry
from laneway.api.system import System
from laneway.lanes.commands import Cancel
from laneway.lanes.errors import LaneError, Refused, StoreUnavailable
from laneway.lanes.model import JobState
from laneway.storage.operations import MAX_EXAMPLES, Action, NotDone, Operation
from laneway.telemetry import job_events

ENDED, STARTED, GONE = "it had ended", "it had started", "somebody else had retried or dropped it"


@dataclass(slots=True)
class Results:
    """What has been done. `left` are the jobs that nothing could be done to yet, because of `waits_for`."""

    done: int = 0
    not_done: list[NotDone] = field(default_factory=list)
    left: Sequence[str] = ()
    waits_for: str | None = None

    def refuse(self, key: str, reason: str) -> None:
        """Add a job to which nothing was done."""
        user, _, job_id = key.rpartition("/")
        self.not_done.append(NotDone(user, job_id, reason))


def counted(operation: Operation, results: Results) -> Operation:
    """Return the operation with these results."""
    reasons = Counter(operation.reasons)
    reasons.update(one.reason for one in results.not_done)
    return replace(
        operation,
        done=operation.done + results.done,
        not_done=operation.not_done + len(results.not_done),
        reasons=dict(reasons),
        examples=[*operation.examples, *results.not_done][:MAX_EXAMPLES],
        pending=results.left,
        waits_for=results.waits_for,
    )


async def act(system: System, operation: Operation, *, is_resumed: bool) -> Results:
    """Do it to the pending jobs. `is_resumed`: somebody may have done it to some of them, and died before they were counted.

    Raises StoreUnavailable, HistoryUnavailable.
    """
    results = Results()
    match operation.action:
        case Action.CANCEL:
            await _cancel(system, operation, results, is_resumed=is_resumed)
        case Action.RETRY:
            await _retry(system, operation.pending, results, is_resumed=is_resumed)
        case Action.DROP:
            await _drop(system, operation.pending, results, is_resumed=is_resumed)
    return results


async def _cancel(system: System, operation: Operation, results: Results, *, is_resumed: bool) -> None:
    who = "an administrator" if operation.is_admins else "the user"
    reason = f"cancelled by {who} (operation {operation.id})"
    is_stopping = JobState.RUNNING in operation.target.states
    owners_and_ids = [key.rpartition("/") for key in operation.pending]
    commands = [Cancel(user, job_id, reason, is_stopping) for user, _, job_id in owners_and_ids]
    answers = await system.lanes.run_all(commands)
    for key, command, answer in zip(operation.pending, commands, answers, strict=True):
        if isinstance(answer, StoreUnavailable):
            raise answer
        if isinstance(answer, LaneError):
            results.refuse(key, str(answer))
        elif answer == "running":
            results.refuse(key, STARTED)
        elif answer in ("cancelled", "stopping"):
            results.done += 1
            if answer == "cancelled":
                metrics.jobs_total.labels("cancelled").inc()
                system.job_lines.add(job_events.cancelled(command.job_id, command.user, reason=reason))
        elif (
            is_resumed and (job := await find(system, command.user, command.job_id)) and job.reason == reason
        ):
            results.done += 1
        else:
            results.refuse(key, ENDED)


async def _retry(system: System, pending: Sequence[str], results: Results, *, is_resumed: bool) -> None:
    """Retry dead letters in their order: behind one that its lane does not take, nothing is enqueued that could overtake it."""
    letters = await system.dead_letters.with_keys(pending)
    retried = []
    for position, key in enumerate(pending):
        if (letter := letters.get(key)) is None:
            _count_gone(key, results, is_resumed=is_resumed)
            continue
        try:
            await retry(system, letter)
        except Problem as problem:
            results.refuse(key, problem.detail)
        except Refused as refused:
            if refused.retry_after_seconds:
                results.left, results.waits_for = pending[position:], f"{letter.user}: {refused}"
                break
            results.refuse(key, str(refused))
        else:
            retried.append(key)
    await system.dead_letters.drop_with_keys(retried)
    results.done += len(retried)


async def _drop(system: System, pending: Sequence[str], results: Results, *, is_resumed: bool) -> None:
    there = await system.dead_letters.with_keys(pending)
    await system.dead_letters.drop_with_keys(pending)
    results.done += len(there)
    for key in pending:
        if key not in there:
            _count_gone(key, results, is_resumed=is_resumed)


def _count_gone(key: str, results: Results, *, is_resumed: bool) -> None:
    if is_resumed:
        results.done += 1
    else:
        results.refuse(key, GONE)
