"""The rules about how jobs ended, and whether everybody says the same."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from chaos.checker.timeline import Span, Timeline
from chaos.checker.verdict import Rule, Violation
from chaos.records import Ending, History

ENDS = frozenset({"succeeded", "failed", "cancelled"})
SOURCES = ("api", "history")
"""Who must know of every accepted job at the end. Failed ones must be in the dead letters, too."""


def by_job(history: History) -> dict[str, list[Ending]]:
    """What all sources say of each job."""
    found: dict[str, list[Ending]] = defaultdict(list)
    for ending in history.endings:
        found[ending.job_id].append(ending)
    return found


def lost(history: History, endings: dict[str, list[Ending]]) -> tuple[int, list[Violation]]:
    """Each request answered with 200 is known to the API and to the history at the end."""
    users = {accepted.job_id: accepted.user for accepted in history.accepted}
    found = []
    for job_id, user in users.items():
        missing = [s for s in SOURCES if not any(ending.source == s for ending in endings.get(job_id, ()))]
        if missing:
            text = f"answered with 200, and not known to: {', '.join(missing)}"
            found.append(Violation(Rule.LOST, user, job_id, text))
    return len(users), found


def unended(endings: dict[str, list[Ending]]) -> tuple[int, list[Violation]]:
    """Nothing is left queued, running or retrying."""
    found = []
    for job_id, said in endings.items():
        open_ones = [ending for ending in said if ending.state not in ENDS]
        if open_ones:
            text = f"still {open_ones[0].state} ({open_ones[0].source})"
            found.append(Violation(Rule.NO_END, open_ones[0].user, job_id, text))
    return len(endings), found


def two_ends(endings: dict[str, list[Ending]]) -> tuple[int, list[Violation]]:
    """All sources say the same of a job, each once."""
    found = []
    for job_id, said in endings.items():
        ended = [ending for ending in said if ending.state in ENDS]
        ways = {(ending.state, ending.attempts, ending.result, ending.user) for ending in ended}
        sources = [ending.source for ending in ended]
        dead = "dead_letters" in sources
        if len(ways) > 1:
            text = "; ".join(
                f"{e.source}: {e.state}, attempts {e.attempts}, result {e.result}" for e in ended
            )
        elif len(set(sources)) < len(sources):
            text = f"recorded more than once: {', '.join(sources)}"
        elif ended and dead != (ended[0].state == "failed"):
            text = f"{ended[0].state}, but {'' if dead else 'not '}in the dead letters"
        else:
            continue
        found.append(Violation(Rule.TWO_ENDS, ended[0].user, job_id, text))
    return len(endings), found


def unasked(history: History, endings: dict[str, list[Ending]]) -> tuple[int, list[Violation]]:
    """Each job belongs to a request that somebody sent, and an idempotency key makes one job of all its
    sendings. Cancelled jobs were asked to be."""
    sends: dict[str, int] = defaultdict(int)
    keyed: set[str] = set()
    for request in history.requests():
        sends[request.tag] += 1
        if request.key is not None:
            keyed.add(request.tag)
    jobs: dict[str, set[str]] = defaultdict(set)
    for accepted in history.accepted:
        jobs[accepted.tag].add(accepted.job_id)
    for ending in history.endings:
        jobs[ending.tag].add(ending.job_id)
    told = {accepted.job_id: (accepted.user, accepted.tag) for accepted in history.accepted}
    may_cancel = {(asked.user, asked.job_id) for asked in history.cancelled}
    found = []
    for job_id, said in endings.items():
        ending = said[0]
        most = 1 if ending.tag in keyed else sends[ending.tag]
        asked_for = (ending.user, job_id) in may_cancel or (ending.user, None) in may_cancel
        if len(jobs[ending.tag]) > most:
            text = f"request {ending.tag!r} was sent for {most} job(s) and became {sorted(jobs[ending.tag])}"
        elif told.get(job_id, (ending.user, ending.tag)) != (ending.user, ending.tag):
            text = f"is {ending.user}'s {ending.tag!r}, the client was told {told[job_id]}"
        elif any(one.state == "cancelled" for one in said) and not asked_for:
            text = "cancelled, which nobody asked for"
        else:
            continue
        found.append(Violation(Rule.UNASKED, ending.user, job_id, text))
    return len(endings), found


def late_finish(timeline: Timeline, endings: dict[str, list[Ending]]) -> tuple[int, list[Violation]]:
    """The recorded result is that of the attempt that held the lease: the last one started."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        for job_id, spans in lane.jobs:
            results = {e.result for e in endings.get(job_id, ()) if e.state == "succeeded"}
            winner = _winner(spans, results)
            if winner is None:
                continue
            checked += 1
            for other in spans:
                if _given_after(other, winner):
                    text = (
                        f"the result of attempt {winner.attempt.attempt} in {winner.attempt.process} counted, though "
                        f"the job was given to {other.attempt.process} as attempt {other.attempt.attempt}"
                    )
                    found.append(Violation(Rule.LATE_FINISH, lane.user, job_id, text))
                    break
    return checked, found


def _given_after(other: Span, winner: Span) -> bool:
    """The same number twice: a process died, or lost its lease, before it was known to have started the
    job."""
    if other.attempt.attempt == winner.attempt.attempt:
        return not other.late and other.start_ns > winner.start_ns
    return other.attempt.attempt > winner.attempt.attempt


def reruns(timeline: Timeline) -> tuple[int, list[Violation]]:
    """An attempt that came to an end for good is followed by another only if a fault may have kept its finish
    from Redis."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        for job_id, spans in lane.jobs:
            for before, after in pairwise(span for span in spans if not span.late):
                checked += 1
                final = before.attempt.outcome in ("succeeded", "permanent")
                if final and not timeline.faulty(before.attempt, after.start_ns):
                    text = (
                        f"attempt {before.attempt.attempt} {before.attempt.outcome}, then "
                        f"{after.attempt.process} started attempt {after.attempt.attempt}"
                    )
                    found.append(Violation(Rule.RERUN, lane.user, job_id, text))
    return checked, found


def _winner(spans: tuple[Span, ...], results: set[str | None]) -> Span | None:
    return next(
        (span for span in spans if span.attempt.outcome == "succeeded" and span.attempt.result in results),
        None,
    )


def _limits(history: History, endings: dict[str, list[Ending]]) -> dict[str, int]:
    """How many attempts each job has, by the type of its request."""
    types = {request.tag: request.type for request in history.requests()}
    limits = history.limits
    return {
        job_id: limits.attempts_of.get(types.get(said[0].tag, ""), limits.max_attempts)
        for job_id, said in endings.items()
    }


def attempts(
    history: History, timeline: Timeline, endings: dict[str, list[Ending]]
) -> tuple[int, list[Violation]]:
    """No attempt has a number beyond the limit, in the history or before a handler."""
    most_of = _limits(history, endings)
    seen = {
        job_id: max(span.attempt.attempt for span in spans)
        for lane in timeline.lanes
        for job_id, spans in lane.jobs
    }
    found = []
    for job_id in seen.keys() | endings.keys():
        most = most_of.get(job_id, history.limits.max_attempts)
        said = endings.get(job_id, [])
        highest = max([seen.get(job_id, 0), *(ending.attempts for ending in said)])
        if highest > most:
            user = said[0].user if said else ""
            found.append(Violation(Rule.ATTEMPTS, user, job_id, f"attempt {highest} of at most {most}"))
    return len(seen.keys() | endings.keys()), found


def agreement(
    history: History, timeline: Timeline, endings: dict[str, list[Ending]]
) -> tuple[int, list[Violation]]:
    """State, attempts and result in the history are those that the handlers' own notes lead to."""
    most_of = _limits(history, endings)
    spans_of = {job_id: spans for lane in timeline.lanes for job_id, spans in lane.jobs}
    found = []
    for job_id, said in endings.items():
        spans = spans_of.get(job_id, ())
        for ending in said:
            text = _disagrees(ending, spans, most_of[job_id], timeline)
            users = {span.attempt.user for span in spans} - {ending.user}
            if users:
                text = f"a handler was told that it is {users.pop()}'s"
            if text:
                found.append(Violation(Rule.HISTORY, ending.user, job_id, f"{ending.source}: {text}"))
                break
    found += [
        Violation(Rule.HISTORY, spans_of[job_id][0].attempt.user, job_id, "a handler ran it, nobody knows it")
        for job_id in sorted(spans_of.keys() - endings.keys())
    ]
    return len(endings), found


def _disagrees(ending: Ending, spans: tuple[Span, ...], limit: int, timeline: Timeline) -> str | None:
    live = [span for span in spans if not span.late]
    seen = max((span.attempt.attempt for span in live), default=0)
    if ending.state in ENDS and ending.attempts < seen:
        return f"says {ending.attempts} attempts, handlers saw attempt {seen}"
    if ending.state == "succeeded":
        winner = _winner(spans, {ending.result})
        if winner is None:
            return f"succeeded with {ending.result}, which no handler returned"
        if winner.attempt.attempt != ending.attempts:
            return f"says attempt {ending.attempts}, the result is of attempt {winner.attempt.attempt}"
    elif ending.state in ENDS:
        return _wrongly_ended(ending, live, limit, timeline)
    return None


def _wrongly_ended(ending: Ending, live: list[Span], limit: int, timeline: Timeline) -> str | None:
    last = live[-1].attempt if live else None
    permanent = last is not None and last.outcome == "permanent"
    if ending.result is not None:
        return f"{ending.state}, yet it has a result"
    if ending.state == "failed" and ending.attempts < limit and not permanent:
        return f"failed after {ending.attempts} of {limit} attempts"
    if ending.attempts > (last.attempt if last else 0) and timeline.first_fault_ns is None:
        return f"says {ending.attempts} attempts, handlers saw {last.attempt if last else 0}"
    if ending.state != "failed" or last is None or last.end_ns is None or last.outcome != "succeeded":
        return None
    if last.attempt == ending.attempts and not timeline.faulty(last, last.end_ns + timeline.lease_ns):
        return "failed, but its last attempt succeeded in a process that lived on"
    return None
