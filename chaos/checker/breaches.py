"""Breaks one promise in a correct history, to see whether the checker finds the breach.

Each function takes a history and a source of randomness. It returns the broken history and the rules that may report the breach,
or None if this history offers no place for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from chaos.checker.verdict import Rule
from chaos.records import Attempt, Disturbance, Ending, History

MS = 1_000_000
Broken = tuple[History, set[Rule]] | None


def _without(history: History, job_id: str, source: str | None = None) -> History:
    others = [e for e in history.endings if e.job_id != job_id or (source and e.source != source)]
    return replace(history, endings=tuple(others))


def _edit(history: History, job_id: str, change: Callable[[Ending], Ending]) -> History:
    return replace(history, endings=tuple(change(e) if e.job_id == job_id else e for e in history.endings))


def _ended(history: History, random: Random, state: str) -> Ending | None:
    accepted_ids = {accepted.job_id for accepted in history.accepted}
    found = [
        e for e in history.endings if e.state == state and e.source == "history" and e.job_id in accepted_ids
    ]
    return random.choice(found) if found else None


def _attempts(history: History) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in sorted(history.attempts, key=lambda attempt: attempt.start_ns):
        found[attempt.job_id].append(attempt)
    return found


def _lanes(history: History) -> dict[str, list[list[Attempt]]]:
    lanes: dict[str, list[list[Attempt]]] = defaultdict(list)
    for _, attempts in sorted(_attempts(history).items()):
        lanes[attempts[0].user].append(attempts)
    return lanes


def _exchange(history: History, changed: dict[int, Attempt]) -> History:
    return replace(history, attempts=tuple(changed.get(id(attempt), attempt) for attempt in history.attempts))


def lost_job(history: History, random: Random) -> Broken:
    """No source knows an accepted job, and no handler ever ran it."""
    if not history.accepted:
        return None
    job_id = random.choice(history.accepted).job_id
    lost = _without(history, job_id)
    return replace(lost, attempts=tuple(a for a in lost.attempts if a.job_id != job_id)), {Rule.LOST}


def lost_in_history(history: History, random: Random) -> Broken:
    """The API knows a job that is missing in MongoDB."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (_without(history, ending.job_id, "history"), {Rule.LOST})


def no_end(history: History, random: Random) -> Broken:
    """A job stays in its lane forever."""
    ending = _ended(history, random, random.choice(("succeeded", "failed")))
    if ending is None:
        return None
    return (
        _edit(history, ending.job_id, lambda e: replace(e, state="running", result=None)),
        {Rule.NO_END},
    )


def double_end(history: History, random: Random) -> Broken:
    """One source reports that the job succeeded, the other that it was cancelled."""
    ending = _ended(history, random, "succeeded")
    change = {"api": "cancelled"}
    if ending is None:
        return None
    return (
        _edit(history, ending.job_id, lambda e: replace(e, state=change.get(e.source, e.state))),
        {Rule.TWO_ENDS},
    )


def archived_twice(history: History, random: Random) -> Broken:
    """A finished job was written to MongoDB twice."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (replace(history, endings=(*history.endings, ending)), {Rule.TWO_ENDS})


def unrequested_job(history: History, random: Random) -> Broken:
    """One request became two jobs."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    twin = replace(ending, job_id=f"{int(ending.job_id, 16) + 1:025x}")
    return replace(history, endings=(*history.endings, twin)), {Rule.UNREQUESTED}


def unrequested_cancel(history: History, random: Random) -> Broken:
    """A job was cancelled, but nobody asked for it."""
    ending = _ended(history, random, "cancelled")
    if ending is None:
        return None
    return (replace(history, cancelled=()), {Rule.UNREQUESTED})


def acceptance_swap(history: History, random: Random) -> Broken:
    """A request that was sent after another one was answered got the lower id."""
    by_user = defaultdict(list)
    for accepted in history.accepted:
        by_user[accepted.user].append(accepted)
    pairs = [
        (first, second)
        for sent in by_user.values()
        for first, second in pairwise(sent)
        if first.answered_ns < second.sent_ns
    ]
    if not pairs:
        return None
    first, second = random.choice(pairs)
    swapped = {
        first.job_id: replace(first, job_id=second.job_id),
        second.job_id: replace(second, job_id=first.job_id),
    }
    accepted_all = tuple(swapped.get(accepted.job_id, accepted) for accepted in history.accepted)
    return replace(history, accepted=accepted_all), {Rule.ACCEPTANCE}


def start_swap(history: History, random: Random) -> Broken:
    """Two jobs of a lane swap their attempts: the later job overtook the earlier one."""
    undisturbed = not history.disturbances and not history.deaths
    pairs = [
        (first, second)
        for lane in _lanes(history).values()
        for first, second in pairwise(lane)
        if len(first) == len(second) == 1
        and undisturbed
        and (second[0].start_ns - first[0].start_ns > 60 * MS or second[0].process == first[0].process)
    ]
    if not pairs:
        return None
    (first,), (second,) = random.choice(pairs)
    changed = {
        id(first): replace(first, start_ns=second.start_ns, end_ns=second.end_ns, process=second.process),
        id(second): replace(second, start_ns=first.start_ns, end_ns=first.end_ns, process=first.process),
    }
    return _exchange(history, changed), {Rule.START_ORDER}


def overlap(history: History, random: Random) -> Broken:
    """A lane has one job more in flight than it has slots: its running jobs last until the next one has started."""
    cap = history.limits.lane_concurrency
    windows = [
        lane[at : at + cap + 1]
        for lane in _lanes(history).values()
        for at in range(len(lane) - cap)
        if all(len(job) == 1 and job[0].end_ns is not None for job in lane[at : at + cap + 1])
    ]
    if not windows or history.disturbances:
        return None
    *running, (last,) = random.choice(windows)
    changed = {
        id(job[0]): replace(job[0], end_ns=max(job[0].end_ns or 0, last.start_ns + MS)) for job in running
    }
    return _exchange(history, changed), {Rule.SLOTS}


def retry_overtaken(history: History, random: Random) -> Broken:
    """With one slot, the lane's next job starts between two attempts of the job before."""
    cap = history.limits.lane_concurrency
    found = [
        (first, second[0])
        for lane in _lanes(history).values()
        for first, second in pairwise(lane)
        if len(first) > 1 and first[0].end_ns is not None and second[0].end_ns is not None
    ]
    if cap > 1 or not found or history.disturbances:
        return None
    first, second = random.choice(found)
    between = (max(first[0].end_ns or 0, first[0].start_ns) + first[1].start_ns) // 2
    return _exchange(history, {id(second): replace(second, start_ns=between, end_ns=between + 1)}), {
        Rule.RETRY_ORDER
    }


def run_twice_at_once(history: History, random: Random) -> Broken:
    """A retry starts while the attempt before still runs in a process that holds its lease."""
    found = [
        (job[0], job[1]) for job in _attempts(history).values() if len(job) > 1 and job[0].end_ns is not None
    ]
    if not found or history.disturbances:
        return None
    first, second = random.choice(found)
    return _exchange(history, {id(first): replace(first, end_ns=second.start_ns + MS)}), {Rule.ONE_LEASE}


def late_finish(history: History, random: Random) -> Broken:
    """The history shows the finish of a zombie, whose lease had been given away before."""
    found = []
    frozen = {disturbance.process for disturbance in history.disturbances}
    for attempts in _attempts(history).values():
        late = [
            attempt
            for attempt in attempts[:-1]
            if attempt.outcome == "succeeded"
            and attempts[-1].start_ns < (attempt.end_ns or 0)
            and (attempts[-1].attempt > attempt.attempt or attempts[-1].process not in frozen)
        ]
        found += late
    if not found:
        return None
    zombie = random.choice(found)
    finished = {"state": "succeeded", "attempts": zombie.attempt, "result": zombie.result}
    ended = _edit(history, zombie.job_id, lambda e: replace(e, **finished))  # type: ignore[arg-type]
    return ended, {Rule.LATE_FINISH}


def beyond_attempts(history: History, random: Random) -> Broken:
    """A job was tried once more after its last attempt."""
    ending = _ended(history, random, "failed")
    if ending is None or ending.attempts < history.limits.max_attempts:
        return None
    return _edit(history, ending.job_id, lambda e: replace(e, attempts=e.attempts + 1)), {Rule.ATTEMPTS}


def ran_again(history: History, random: Random) -> Broken:
    """A job ran again after it had succeeded in a healthy process."""
    ending = _ended(history, random, "succeeded")
    if ending is None or history.disturbances or history.deaths:
        return None
    last = _attempts(history)[ending.job_id][-1]
    after_ns = (last.end_ns or 0) + 1
    again = replace(last, attempt=last.attempt + 1, start_ns=after_ns, end_ns=after_ns + 1, result="again")
    return replace(history, attempts=(*history.attempts, again)), {Rule.RERUN}


def wrong_result(history: History, random: Random) -> Broken:
    """The history holds a result that no handler returned."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (_edit(history, ending.job_id, lambda e: replace(e, result="0")), {Rule.HISTORY})


def wrong_attempts(history: History, random: Random) -> Broken:
    """The history counts one attempt too few."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (
        _edit(history, ending.job_id, lambda e: replace(e, attempts=e.attempts - 1)),
        {Rule.HISTORY},
    )


def wrong_failure(history: History, random: Random) -> Broken:
    """The history reports a failed job, but its handler succeeded and nothing happened to its process."""
    ending = _ended(history, random, "succeeded")
    if ending is None or history.deaths or history.disturbances:
        return None
    failed = _edit(history, ending.job_id, lambda e: replace(e, state="failed", result=None))
    dead = replace(ending, state="failed", result=None, source="dead_letters")
    return replace(failed, endings=(*failed.endings, dead)), {Rule.HISTORY, Rule.BLAME}


def failed_bystander(history: History, random: Random) -> Broken:
    """A job failed because its process died, though its handler never raised."""
    attempts = _attempts(history)
    found = []
    for ending in history.endings:
        outcomes = {attempt.outcome for attempt in attempts.get(ending.job_id, ())}
        if (ending.source, ending.state) == ("history", "succeeded") and outcomes == {None, "succeeded"}:
            found.append(ending)
    if not found:
        return None
    ending = random.choice(found)
    failed = _edit(history, ending.job_id, lambda e: replace(e, state="failed", result=None))
    dead = replace(ending, state="failed", result=None, source="dead_letters")
    return replace(failed, endings=(*failed.endings, dead)), {Rule.BLAME}


def wrong_user(history: History, random: Random) -> Broken:
    """A handler ran a job for another user."""
    if not history.attempts:
        return None
    attempt = random.choice(history.attempts)
    return _exchange(history, {id(attempt): replace(attempt, user="somebody")}), {Rule.HISTORY}


def short_freeze(history: History, random: Random) -> Broken:
    """A job runs twice at once, with a freeze as an excuse that was too short for the lease to expire."""
    broken = run_twice_at_once(history, random)
    if broken is None:
        return None
    changed, rules = broken
    short_ns = int(history.limits.lease_seconds * 0.4 * 1e9)
    freezes = [Disturbance(a.process, a.start_ns, a.start_ns + short_ns) for a in changed.attempts[:1]]
    return replace(changed, disturbances=tuple(freezes)), rules


BREACHES = (
    lost_job,
    lost_in_history,
    no_end,
    double_end,
    archived_twice,
    unrequested_job,
    unrequested_cancel,
    acceptance_swap,
    start_swap,
    overlap,
    retry_overtaken,
    run_twice_at_once,
    short_freeze,
    late_finish,
    beyond_attempts,
    ran_again,
    wrong_result,
    wrong_attempts,
    wrong_failure,
    failed_bystander,
    wrong_user,
)
