"""Break one promise in a correct history, to see whether the checker notices.

Each function takes a history and a source of randomness and returns the broken history with the rules that may
name the breach, or None where the history has no place for it.
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
Planted = tuple[History, set[Rule]] | None


def _without(history: History, job_id: str, source: str | None = None) -> History:
    kept = [e for e in history.endings if e.job_id != job_id or (source and e.source != source)]
    return replace(history, endings=tuple(kept))


def _edit(history: History, job_id: str, change: Callable[[Ending], Ending]) -> History:
    return replace(history, endings=tuple(change(e) if e.job_id == job_id else e for e in history.endings))


def _ended(history: History, random: Random, state: str) -> Ending | None:
    told = {accepted.job_id for accepted in history.accepted}
    found = [e for e in history.endings if e.state == state and e.source == "history" and e.job_id in told]
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


def loss(history: History, random: Random) -> Planted:
    """An accepted job is nowhere, and no handler ever saw it."""
    if not history.accepted:
        return None
    job_id = random.choice(history.accepted).job_id
    lost = _without(history, job_id)
    return replace(lost, attempts=tuple(a for a in lost.attempts if a.job_id != job_id)), {Rule.LOST}


def loss_in_history(history: History, random: Random) -> Planted:
    """The API knows a job that MongoDB has never got."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (_without(history, ending.job_id, "history"), {Rule.LOST})


def no_end(history: History, random: Random) -> Planted:
    """A job hangs in the lane for ever."""
    ending = _ended(history, random, random.choice(("succeeded", "failed")))
    if ending is None:
        return None
    return (
        _edit(history, ending.job_id, lambda e: replace(e, state="running", result=None)),
        {Rule.NO_END},
    )


def double_end(history: History, random: Random) -> Planted:
    """One source says that the job succeeded, the other that it was cancelled."""
    ending = _ended(history, random, "succeeded")
    change = {"api": "cancelled"}
    if ending is None:
        return None
    return (
        _edit(history, ending.job_id, lambda e: replace(e, state=change.get(e.source, e.state))),
        {Rule.TWO_ENDS},
    )


def archived_twice(history: History, random: Random) -> Planted:
    """A finished job was written to MongoDB twice."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (replace(history, endings=(*history.endings, ending)), {Rule.TWO_ENDS})


def unasked_job(history: History, random: Random) -> Planted:
    """One request became two jobs."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    twin = replace(ending, job_id=f"{int(ending.job_id, 16) + 1:025x}")
    return replace(history, endings=(*history.endings, twin)), {Rule.UNASKED}


def unasked_cancel(history: History, random: Random) -> Planted:
    """A job was cancelled though nobody asked for it."""
    ending = _ended(history, random, "cancelled")
    if ending is None:
        return None
    return (replace(history, cancelled=()), {Rule.UNASKED})


def acceptance_swap(history: History, random: Random) -> Planted:
    """A job that was accepted after another had been answered got the lower id."""
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


def start_swap(history: History, random: Random) -> Planted:
    """Two jobs of a lane exchange the moments of all their attempts: the later one overtook the earlier."""
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


def overlap(history: History, random: Random) -> Planted:
    """A lane has one job more in flight than it has slots: its running jobs last until the next has started."""
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


def retry_overtaken(history: History, random: Random) -> Planted:
    """With one slot, the lane's next job starts between two attempts of the one before."""
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


def two_hands(history: History, random: Random) -> Planted:
    """A retry starts while the attempt before it still runs, in a process that holds its lease."""
    found = [
        (job[0], job[1]) for job in _attempts(history).values() if len(job) > 1 and job[0].end_ns is not None
    ]
    if not found or history.disturbances:
        return None
    first, second = random.choice(found)
    return _exchange(history, {id(first): replace(first, end_ns=second.start_ns + MS)}), {Rule.ONE_LEASE}


def late_finish(history: History, random: Random) -> Planted:
    """A zombie's finish, which came after its lease had been given away, is what the history shows."""
    found = []
    for attempts in _attempts(history).values():
        zombies = [
            attempt
            for attempt in attempts[:-1]
            if attempt.outcome == "succeeded" and attempts[-1].start_ns < (attempt.end_ns or 0)
        ]
        found += zombies
    if not found:
        return None
    zombie = random.choice(found)
    told = {"state": "succeeded", "attempts": zombie.attempt, "result": zombie.result}
    ended = _edit(history, zombie.job_id, lambda e: replace(e, **told))  # type: ignore[arg-type]
    return ended, {Rule.LATE_FINISH}


def beyond_attempts(history: History, random: Random) -> Planted:
    """A job that had spent its attempts was tried once more."""
    ending = _ended(history, random, "failed")
    if ending is None or ending.attempts < history.limits.max_attempts:
        return None
    return _edit(history, ending.job_id, lambda e: replace(e, attempts=e.attempts + 1)), {Rule.ATTEMPTS}


def ran_again(history: History, random: Random) -> Planted:
    """A job that had succeeded in a healthy process was run once more."""
    ending = _ended(history, random, "succeeded")
    if ending is None or history.disturbances or history.deaths:
        return None
    last = _attempts(history)[ending.job_id][-1]
    after_ns = (last.end_ns or 0) + 1
    again = replace(last, attempt=last.attempt + 1, start_ns=after_ns, end_ns=after_ns + 1, result="again")
    return replace(history, attempts=(*history.attempts, again)), {Rule.RERUN}


def wrong_result(history: History, random: Random) -> Planted:
    """The history shows a result that no handler returned."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (_edit(history, ending.job_id, lambda e: replace(e, result="0")), {Rule.HISTORY})


def wrong_attempts(history: History, random: Random) -> Planted:
    """The history counts one attempt too few."""
    ending = _ended(history, random, "succeeded")
    if ending is None:
        return None
    return (
        _edit(history, ending.job_id, lambda e: replace(e, attempts=e.attempts - 1)),
        {Rule.HISTORY},
    )


def wrong_failure(history: History, random: Random) -> Planted:
    """The history calls a job failed whose handler succeeded, though nothing had happened to its process."""
    ending = _ended(history, random, "succeeded")
    if ending is None or history.deaths or history.disturbances:
        return None
    failed = _edit(history, ending.job_id, lambda e: replace(e, state="failed", result=None))
    dead = replace(ending, state="failed", result=None, source="dead_letters")
    return replace(failed, endings=(*failed.endings, dead)), {Rule.HISTORY}


def wrong_user(history: History, random: Random) -> Planted:
    """A job ran for somebody else."""
    if not history.attempts:
        return None
    attempt = random.choice(history.attempts)
    return _exchange(history, {id(attempt): replace(attempt, user="somebody")}), {Rule.HISTORY}


def unnoticed_freeze(history: History, random: Random) -> Planted:
    """The same as `two_hands`, excused by a freeze that was too short to cost a lease."""
    planted = two_hands(history, random)
    if planted is None:
        return None
    broken, rules = planted
    short_ns = int(history.limits.lease_seconds * 0.4 * 1e9)
    freezes = [Disturbance(a.process, a.start_ns, a.start_ns + short_ns) for a in broken.attempts[:1]]
    return replace(broken, disturbances=tuple(freezes)), rules


PLANTS = (
    loss,
    loss_in_history,
    no_end,
    double_end,
    archived_twice,
    unasked_job,
    unasked_cancel,
    acceptance_swap,
    start_swap,
    overlap,
    retry_overtaken,
    two_hands,
    unnoticed_freeze,
    late_finish,
    beyond_attempts,
    ran_again,
    wrong_result,
    wrong_attempts,
    wrong_failure,
    wrong_user,
)
