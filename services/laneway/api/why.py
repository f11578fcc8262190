"""Why a job has not started: one sentence, for people, and the facts behind it, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from laneway.api import lookup, views
from laneway.api.system import System
from laneway.lanes.commands import Enqueue, InspectReports, InspectWait, ReportKind
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import Job, JobState, Occupant, PermitWait, Wait
from laneway.lanes.store import AsyncLanes

IDLE_SECONDS = 3.0
"""A lane whose turn it is waits this long only if no process is free."""


class Reason(NamedTuple):
    """`word` is for programs, `sentence` for people."""

    word: str
    sentence: str


async def explain(system: System, user: str, job_id: str) -> dict[str, Any] | None:
    """Return the answer about one of the user's jobs, None if there is no such job.

    Raises StoreUnavailable, HistoryUnavailable.
    """
    wait = await system.lanes.run(InspectWait(user, job_id))
    job = await lookup.find(system, user, job_id)
    if job is None:
        return None
    if job.not_before_us is not None:
        at = views.time(job.not_before_us)
        reason, facts = Reason("delayed", f"It is not due: it enters the lane at {at}."), None
    elif job.state.ended or wait is None:
        reason, facts = _of_ended(job), None
    else:
        known = system.intake.knows(job.type)
        reason = await _of_store(system) or reason_of(job, wait, type_known=known)
        pools = await _pools_at_maximum(system.lanes) if reason.word in _MORE_WORKERS_HELP else {}
        if pools:
            reason = reason._replace(sentence=f"{reason.sentence} {_at_maximum(pools)}")
        facts = _facts(job, wait, type_known=known) | {"pools_at_maximum": pools}
    return {
        "job_id": job.job_id,
        "state": job.state,
        "reason": reason.word,
        "sentence": reason.sentence,
        "facts": facts,
    }


def reason_of(job: Job, wait: Wait, *, type_known: bool) -> Reason:
    """Return the first thing that keeps the job from starting, of all that do."""
    own = _own(job, wait)
    if own and own.due_us is None and job.state is JobState.RUNNING:
        return Reason("running", f"It runs on {job.worker} since {views.time(job.started_us)}.")
    if wait.paused:
        return Reason("paused", "The lane is paused: nothing in it starts until an administrator resumes it.")
    if own and own.due_us is not None and wait.permit:
        return _of_permit(wait.permit, own)
    if own and own.due_us is not None:
        return _of_delay(job, own, type_known=type_known)
    if own:
        return Reason("claimed", "A worker has claimed it and is about to start it.")
    return _of_lane(wait) or _of_workers(wait)


def _of_delay(job: Job, own: Occupant, *, type_known: bool) -> Reason:
    at = views.time(own.due_us)
    if not own.claimed:
        failed = (
            f"Attempt {job.attempts} of {job.max_attempts} failed"
            if job.attempts
            else "Its last run was lost"
        )
        return Reason("retry-later", f"{failed}; the next one starts at {at} or soon after.")
    where = "the worker" if type_known else "neither the worker nor the API"
    verb = "probably has no handler" if type_known else "has a handler"
    text = f"A worker gave it back before it started: {where} {verb} for the type '{job.type}'. Another try follows at {at}."
    return Reason("returned", text)


def _of_permit(permit: PermitWait, own: Occupant) -> Reason:
    limit, running, ahead = permit.use.limit, permit.use.running, permit.place - 1
    if 0 < limit.max_running <= running:
        text = f"Type '{limit.type}' is at its limit of {limit.max_running} running, over all users"
    elif limit.max_starts:
        starts, period = _count(limit.max_starts, "job"), _PERIODS[round(limit.period_seconds)]
        text = f"Of type '{limit.type}' at most {starts} may start in a {period}, over all users, and the next try is at {views.time(own.due_us)}"
    else:
        text = f"Type '{limit.type}' has just come below its limit of {limit.max_running} running, over all users"
    verb = "waits" if ahead == 1 else "wait"
    place = f"{_count(ahead, 'job')} {verb} for the type before it" if ahead else "it is the first that waits"
    return Reason("type-limit", f"{text}; {place}.")


_PERIODS = {1: "second", 60: "minute", 3600: "hour"}


def _of_lane(wait: Wait) -> Reason | None:
    """The lane itself keeps the job waiting, whatever the workers do."""
    if len(wait.occupants) >= wait.slots:
        delayed = sum(occupant.due_us is not None for occupant in wait.occupants)
        text = f"All {_count(wait.slots, 'slot')} of the lane {'is' if wait.slots == 1 else 'are'} taken"
        text += f", {delayed} of them by jobs that wait for their next attempt" if delayed else ""
        return Reason("slots-taken", f"{text}, and {_in_front(wait)}.")
    blocking = next((occupant for occupant in wait.occupants if occupant.claimed), None)
    if blocking and not wait.ring_place:
        text = f"Jobs of a lane start in order, and job {blocking.job_id} of the lane has not started yet."
        return Reason("behind", text)
    return None


def _of_workers(wait: Wait) -> Reason:
    """The lane is ready for a worker."""
    turn = f"the lane is number {wait.ring_place} of {wait.ring_lanes} that take turns"
    if wait.ring_wait_seconds >= IDLE_SECONDS and not wait.in_flight:
        text = (
            f"No worker has taken a job for {wait.ring_wait_seconds:.0f} s: none runs, or none reaches Redis."
        )
        return Reason("no-worker", text)
    if wait.in_front:
        return Reason("behind", f"In the lane, {_in_front(wait)}; {turn}.")
    busy = f"; the workers are busy with {_count(wait.in_flight, 'job')}" if wait.in_flight else ""
    return Reason("next", f"It is the next of its lane, and {turn}{busy}.")


def _of_ended(job: Job) -> Reason:
    if not job.state.ended:
        return Reason("next", "Its state has just changed; ask again.")
    return Reason("ended", f"It has ended: it {_ENDS[job.state]} at {views.time(job.finished_us)}.")


_ENDS = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "was cancelled",
}


async def _of_store(system: System) -> Reason | None:
    """Redis answers, but refuses what serving needs: it has no memory left, for example."""
    try:
        await system.lanes.run(Enqueue("why", (), system.limits))  # accepts no job
    except StoreUnavailable as error:
        return Reason("store-read-only", f"Nothing starts, because of Redis: {error.reason}.")
    return None


_MORE_WORKERS_HELP = ("next", "no-worker")
"""Reasons for which more workers would help. For others the reports of the pools are not read."""


async def _pools_at_maximum(lanes: AsyncLanes) -> dict[str, int]:
    """Return the pools that have all the pods that they may have, with how many these are."""
    reports = await lanes.run(InspectReports(ReportKind.POOLS))
    scaled = [report for report in reports if report.body["rule"] and report.body["replicas"]]
    return {
        report.name: report.body["rule"]["max_replicas"]
        for report in scaled
        if report.body["replicas"]["current"] >= report.body["rule"]["max_replicas"]
    }


def _at_maximum(pools: Mapping[str, int]) -> str:
    each = " and ".join(
        f"pool '{name}' is at its maximum of {_count(most, 'pod')}" for name, most in pools.items()
    )
    return f"No more workers start, for {each}."


def _facts(job: Job, wait: Wait, *, type_known: bool) -> dict[str, Any]:
    own = _own(job, wait)
    return {
        "in_front": wait.in_front,
        "slots": wait.slots,
        "paused": wait.paused,
        "taken": [_taken(occupant) for occupant in wait.occupants],
        "starts_after": views.time(own.due_us) if own else None,
        "ring_place": wait.ring_place or None,
        "ring_lanes": wait.ring_lanes,
        "ring_wait_seconds": wait.ring_wait_seconds,
        "in_flight": wait.in_flight,
        "type_known": type_known,
        "type_limit": _type_limit(wait.permit) if wait.permit else None,
    }


def _type_limit(permit: PermitWait) -> dict[str, Any]:
    limit = permit.use.limit
    return {
        "type": limit.type,
        "running": permit.use.running,
        "max_running": limit.max_running or None,
        "max_starts": limit.max_starts or None,
        "period_seconds": limit.period_seconds if limit.max_starts else None,
        "waiting": permit.use.waiting,
        "place": permit.place,
    }


def _taken(occupant: Occupant) -> dict[str, Any]:
    if occupant.due_us is None:
        state = "claimed" if occupant.claimed else "running"
    else:
        state = "returned" if occupant.claimed else "retrying"
    return {"job_id": occupant.job_id, "state": state, "starts_after": views.time(occupant.due_us)}


def _own(job: Job, wait: Wait) -> Occupant | None:
    return next((occupant for occupant in wait.occupants if occupant.job_id == job.job_id), None)


def _in_front(wait: Wait) -> str:
    if not wait.in_front:
        return "it is the next to start"
    return f"{_count(wait.in_front, 'job')} {'starts' if wait.in_front == 1 else 'start'} before it"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
