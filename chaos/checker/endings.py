"""The rules about how jobs ended, and whether all sources agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from chaos.checker.requests import max_attempts
from chaos.checker.timeline import RESUME_NS, Span, Timeline
from chaos.checker.verdict import Findings, Reports, Rule, Violation
from chaos.records import Ending, History

END_STATES = frozenset({"succeeded", "failed", "cancelled"})
SOURCES = ("api", "history")
"""The sources that must know every accepted job after a run. Failed jobs must also be in the dead letters."""
ARCHIVED_NS = 5_000_000_000
"""How long after its end a job may still be in Redis alone."""


def by_job(history: History) -> Reports:
    """Group what all sources report by job."""
    found: Reports = defaultdict(list)
    for ending in history.endings:
        found[ending.job_id].append(ending)
    return found


def check_lost(history: History, reports: Reports) -> Findings:
    """The API and the history know every request that was answered with 200."""
    ended_ns = {
        one.job_id: one.end_ns for one in history.attempts if one.outcome in ("succeeded", "permanent")
    }
    found = []
    for accepted in history.accepted:
        known = {ending.source for ending in reports.get(accepted.job_id, ())}
        missing = [source for source in SOURCES if source not in known]
        if missing and not _went_with_redis(history, accepted.sent_ns, ended_ns.get(accepted.job_id)):
            text = f"answered with 200, but unknown to: {', '.join(missing)}"
            found.append(Violation(Rule.LOST, accepted.user, accepted.job_id, text))
    return len(history.accepted), found


def _went_with_redis(history: History, begun_ns: int, ended_ns: int | None) -> bool:
    """Tell whether Redis lost everything while it held the job. MongoDB has jobs that ended some seconds before."""
    lost_ns = history.data_lost_after(begun_ns)
    return lost_ns is not None and (ended_ns is None or ended_ns > lost_ns - ARCHIVED_NS)


def check_ended(reports: Reports) -> Findings:
    """No job is left queued, running or retrying."""
    found = []
    for job_id, endings in reports.items():
        if unended := [ending for ending in endings if ending.state not in END_STATES]:
            text = f"still {unended[0].state} ({unended[0].source})"
            found.append(Violation(Rule.NO_END, unended[0].user, job_id, text))
    return len(reports), found


def check_one_end(reports: Reports) -> Findings:
    """All sources report the same about a job, each once."""
    found = []
    for job_id, endings in reports.items():
        ended = [ending for ending in endings if ending.state in END_STATES]
        if text := _contradiction(ended):
            found.append(Violation(Rule.TWO_ENDS, ended[0].user, job_id, text))
    return len(reports), found


def _contradiction(ended: list[Ending]) -> str | None:
    ways = {(ending.state, ending.attempts, ending.result, ending.user) for ending in ended}
    sources = [ending.source for ending in ended]
    dead = "dead_letters" in sources
    if len(ways) > 1:
        return "; ".join(f"{e.source}: {e.state}, attempts {e.attempts}, result {e.result}" for e in ended)
    if len(set(sources)) < len(sources):
        return f"recorded more than once: {', '.join(sources)}"
    if ended and dead != (ended[0].state == "failed"):
        return f"{ended[0].state}, but {'' if dead else 'not '}in the dead letters"
    return None


def check_requested(history: History, reports: Reports) -> Findings:
    """Each job belongs to a request that somebody sent, all sendings under one idempotency key make one job, and only jobs that
    somebody wanted to cancel are cancelled."""
    max_jobs, jobs = _max_jobs(history), _jobs_by_tag(history)
    accepted_as = {accepted.job_id: (accepted.user, accepted.tag) for accepted in history.accepted}
    cancels = {(cancelled.user, cancelled.job_id) for cancelled in history.cancelled}
    found = []
    for job_id, endings in reports.items():
        ending = endings[0]
        text = None
        if len(jobs[ending.tag]) > max_jobs[ending.tag]:
            text = f"request {ending.tag!r} was sent for {max_jobs[ending.tag]} job(s) and became {sorted(jobs[ending.tag])}"
        elif accepted_as.get(job_id, (ending.user, ending.tag)) != (ending.user, ending.tag):
            text = f"is {ending.user}'s {ending.tag!r}, but the client was told {accepted_as[job_id]}"
        elif any(one.state == "cancelled" for one in endings) and not (
            cancels & {(ending.user, job_id), (ending.user, None)}
        ):
            text = "cancelled, but nobody asked for it"
        if text:
            found.append(Violation(Rule.UNREQUESTED, ending.user, job_id, text))
    return len(reports), found


def _max_jobs(history: History) -> dict[str, int]:
    """Return by tag how many jobs its request may have become."""
    sent: dict[str, int] = defaultdict(int)
    keyed: set[str] = set()
    for request in history.requests():
        sent[request.tag] += 1
        if request.key is not None and history.data_lost_after(request.sent_ns) is None:
            keyed.add(request.tag)  # with its data, Redis also loses idempotency keys
    return defaultdict(int, {tag: 1 if tag in keyed else count for tag, count in sent.items()})


def _jobs_by_tag(history: History) -> dict[str, set[str]]:
    jobs: dict[str, set[str]] = defaultdict(set)
    for accepted in history.accepted:
        jobs[accepted.tag].add(accepted.job_id)
    for ending in history.endings:
        jobs[ending.tag].add(ending.job_id)
    return jobs


def check_late_finishes(timeline: Timeline, reports: Reports) -> Findings:
    """The recorded result is that of the attempt that held the lease: the last one started."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        for job_id, spans in lane.jobs:
            results = {e.result for e in reports.get(job_id, ()) if e.state == "succeeded"}
            winner = _winner(spans, results)
            if winner is None:
                continue
            checked += 1
            later = next((other for other in spans if _given_after(other, winner)), None)
            if later is not None:
                text = (
                    f"the result of attempt {winner.attempt.attempt} in {winner.attempt.process} counted, although the "
                    f"job was given to {later.attempt.process} as attempt {later.attempt.attempt}"
                )
                found.append(Violation(Rule.LATE_FINISH, lane.user, job_id, text))
    return checked, found


def _given_after(other: Span, winner: Span) -> bool:
    """Tell whether the job was given to `other` after `winner`. Two attempts have the same number when a process died, or lost
    its lease, before Redis knew that it had started the job."""
    if other.attempt.attempt == winner.attempt.attempt:
        return not other.stale and other.start_ns > winner.start_ns
    return other.attempt.attempt > winner.attempt.attempt


def check_reruns(timeline: Timeline) -> Findings:
    """An attempt that ended the job is followed by another one only if a fault may have kept its finish from Redis."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        for job_id, spans in lane.jobs:
            for before, after in pairwise(span for span in spans if not span.stale):
                checked += 1
                final = before.attempt.outcome in ("succeeded", "permanent")
                if final and not timeline.was_disturbed(before.attempt, after.start_ns):
                    text = (
                        f"attempt {before.attempt.attempt} {before.attempt.outcome}, then "
                        f"{after.attempt.process} started attempt {after.attempt.attempt}"
                    )
                    found.append(Violation(Rule.RERUN, lane.user, job_id, text))
    return checked, found


def _winner(spans: Iterable[Span], results: set[str | None]) -> Span | None:
    """Return the attempt that succeeded with one of these results."""
    return next(
        (span for span in spans if span.attempt.outcome == "succeeded" and span.attempt.result in results),
        None,
    )


def check_attempts(history: History, timeline: Timeline, reports: Reports) -> Findings:
    """No attempt has a number beyond the limit, neither in the history nor in a handler."""
    limits = max_attempts(history, reports)
    seen = {
        job_id: max(span.attempt.attempt for span in spans)
        for lane in timeline.lanes
        for job_id, spans in lane.jobs
    }
    found = []
    for job_id in seen.keys() | reports.keys():
        limit = limits.get(job_id, history.limits.max_attempts)
        endings = reports.get(job_id, [])
        highest = max([seen.get(job_id, 0), *(ending.attempts for ending in endings)])
        if highest > limit:
            user = endings[0].user if endings else ""
            found.append(Violation(Rule.ATTEMPTS, user, job_id, f"attempt {highest} of at most {limit}"))
    return len(seen.keys() | reports.keys()), found


def check_agreement(history: History, timeline: Timeline, reports: Reports) -> Findings:
    """State, attempts and result in the history follow from what the handlers recorded."""
    spans_of = {job_id: spans for lane in timeline.lanes for job_id, spans in lane.jobs}
    found = []
    for job_id, endings in reports.items():
        spans = spans_of.get(job_id, ())
        for ending in endings:
            if text := _disagreement(ending, spans, timeline):
                found.append(Violation(Rule.HISTORY, ending.user, job_id, f"{ending.source}: {text}"))
                break
    found += [
        Violation(
            Rule.HISTORY, spans_of[job_id][0].attempt.user, job_id, "a handler ran it, but no source knows it"
        )
        for job_id in sorted(spans_of.keys() - reports.keys())
        if not _went_with_redis(
            history, spans_of[job_id][0].start_ns - RESUME_NS, spans_of[job_id][-1].attempt.end_ns
        )
    ]
    return len(reports), found


def _disagreement(ending: Ending, spans: tuple[Span, ...], timeline: Timeline) -> str | None:
    """Return what is wrong with a report about a job, or None."""
    if users := {span.attempt.user for span in spans} - {ending.user}:
        return f"a handler ran it for {users.pop()}"
    current = [span for span in spans if not span.stale]
    charged = max((span.attempt.attempt for span in current if _is_charged(span, timeline)), default=0)
    if ending.state in END_STATES and ending.attempts < charged:
        return f"reports {ending.attempts} attempts, but attempt {charged} came to an end of its own"
    if ending.state == "succeeded":
        return _wrong_success(ending, spans)
    if ending.state in END_STATES:
        return _wrong_failure(ending, current, timeline)
    return None


def _wrong_success(ending: Ending, spans: tuple[Span, ...]) -> str | None:
    winner = _winner(spans, {ending.result})
    if winner is None:
        return f"succeeded with {ending.result}, which no handler returned"
    if winner.attempt.attempt != ending.attempts:
        return (
            f"reports attempt {ending.attempts}, but the result is that of attempt {winner.attempt.attempt}"
        )
    return None


def _is_charged(span: Span, timeline: Timeline) -> bool:
    """Tell whether the attempt certainly counts: the handler ended it, and nothing kept Redis from recording that."""
    attempt = span.attempt
    if attempt.end_ns is None or attempt.outcome == "interrupted":
        return False
    return not timeline.was_disturbed(attempt, attempt.end_ns + timeline.lease_ns)


def _wrong_failure(ending: Ending, current: list[Span], timeline: Timeline) -> str | None:
    last = current[-1].attempt if current else None
    if ending.result is not None:
        return f"{ending.state}, but it has a result"
    if ending.attempts > (last.attempt if last else 0) and timeline.first_fault_ns is None:
        return f"reports {ending.attempts} attempts, but handlers saw {last.attempt if last else 0}"
    if ending.state != "failed" or last is None or last.end_ns is None or last.outcome != "succeeded":
        return None
    if last.attempt == ending.attempts and not timeline.was_disturbed(last, last.end_ns + timeline.lease_ns):
        return "failed, but its last attempt succeeded in a process that lived on"
    return None
