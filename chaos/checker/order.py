"""The rules about time: order of acceptance, order of starts, slots, leases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from chaos.checker.timeline import Lane, Span, Timeline
from chaos.checker.verdict import Rule, Violation
from chaos.records import Accepted, History

CONCURRENT_NS = 50_000_000
"""With more than one slot, two jobs of a lane may be started by different processes one right after the
other: the lane gives the second away as soon as Redis has recorded the first one's start, and which process's
handler then writes its first line sooner is for the machine's scheduler to say. Two starts this close (50 ms)
are therefore not told apart, and one that the recorded order calls a swap must be further apart. In one
process nothing is tolerated, nor with one slot: there the second job may not start before the first has
ended."""


def acceptance(history: History) -> tuple[int, list[Violation]]:
    """Ids sort in the order of acceptance, as far as clients can know it: within a batch, and whenever one
    had its answer before another sent."""
    first_sent: dict[str, int] = {}  # by tag: a request sent again may have been accepted the first time
    for request in history.requests():
        first_sent[request.tag] = min(request.sent_ns, first_sent.get(request.tag, request.sent_ns))
    batches: dict[tuple[str, int], list[Accepted]] = defaultdict(list)
    by_user: dict[str, list[Accepted]] = defaultdict(list)
    for accepted in history.accepted:
        batches[accepted.client, accepted.sent_ns].append(accepted)
        by_user[accepted.user].append(accepted)
    found = []
    for batch in batches.values():
        batch.sort(key=lambda accepted: accepted.order)
        for before, after in pairwise(batch):
            if before.job_id >= after.job_id:
                text = f"{before.job_id} came before it in its batch"
                found.append(Violation(Rule.ACCEPTANCE, after.user, after.job_id, text))
    for user, all_of_user in by_user.items():
        found += _real_time(user, all_of_user, first_sent)
    return len(history.accepted), found


def _real_time(user: str, found: list[Accepted], first_sent: dict[str, int]) -> Iterator[Violation]:
    answered = sorted(found, key=lambda accepted: accepted.answered_ns)
    highest, at = "", 0
    for accepted in sorted(found, key=lambda accepted: first_sent[accepted.tag]):
        while at < len(answered) and answered[at].answered_ns < first_sent[accepted.tag]:
            highest = max(highest, answered[at].job_id)
            at += 1
        if highest > accepted.job_id:
            yield Violation(
                Rule.ACCEPTANCE, user, accepted.job_id, f"{highest} was answered before it was sent"
            )


def starts(history: History, timeline: Timeline) -> tuple[int, list[Violation]]:
    """First starts of a lane's jobs come in lane order."""
    tolerance_ns = CONCURRENT_NS if history.limits.lane_concurrency > 1 else 0
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        soonest: Span | None = None
        soonest_in: dict[str, Span] = {}
        for _, spans in reversed(lane.jobs):
            first = next((span for span in spans if not span.late), None)
            if first is None:
                continue
            checked += 1
            if not _unseen_start(first, timeline, history.limits.lane_concurrency):
                found += _overtaken(lane.user, first, soonest, soonest_in, timeline, tolerance_ns)
            process = first.attempt.process
            if soonest is None or first.start_ns < soonest.start_ns:
                soonest = first
            if process not in soonest_in or first.start_ns < soonest_in[process].start_ns:
                soonest_in[process] = first
    return checked, found


def _unseen_start(first: Span, timeline: Timeline, slots: int) -> bool:
    """An earlier attempt was charged and no handler saw it, for its process was killed or lost its lease just
    before: the job's place in the order was taken then, at a moment that nobody knows. With one slot it does
    not matter."""
    explained = timeline.first_fault_ns is not None and timeline.first_fault_ns < first.start_ns
    return slots > 1 and first.attempt.attempt > 1 and explained


def _overtaken(
    user: str,
    first: Span,
    soonest: Span | None,
    soonest_in: dict[str, Span],
    timeline: Timeline,
    tolerance_ns: int,
) -> Iterator[Violation]:
    same = soonest_in.get(first.attempt.process)
    if same is not None and same.start_ns < first.start_ns:
        yield _swap(user, first, same)
    elif soonest is not None and soonest.start_ns < timeline.earliest_ns(first.attempt, tolerance_ns):
        yield _swap(user, first, soonest)


def _swap(user: str, first: Span, later: Span) -> Violation:
    ahead_ms = (first.start_ns - later.start_ns) / 1e6
    text = f"{later.attempt.job_id}, accepted later, started {ahead_ms:.3f} ms before it"
    return Violation(Rule.START_ORDER, user, first.attempt.job_id, text)


def retries(history: History, timeline: Timeline) -> tuple[int, list[Violation]]:
    """With one slot, all attempts of a job come before the first start of the lane's next job."""
    checked = 0
    found: list[Violation] = []
    if history.limits.lane_concurrency > 1:
        return 0, []
    for lane in timeline.lanes:
        last: Span | None = None
        for _, spans in lane.jobs:
            live = [span for span in spans if not span.late]
            if live:
                checked += 1
                if last is not None and last.start_ns > live[0].start_ns:
                    text = f"attempt {last.attempt.attempt} came after the start of {live[0].attempt.job_id}"
                    found.append(Violation(Rule.RETRY_ORDER, lane.user, last.attempt.job_id, text))
                last = max([*live, *([last] if last else [])], key=lambda span: span.start_ns)
    return checked, found


def slots(history: History, timeline: Timeline) -> tuple[int, list[Violation]]:
    """At most `lane_concurrency` jobs of a lane hold a slot: from the first start to the last end, waits
    between attempts included."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        checked += len(lane.jobs)
        found += _beyond_cap(lane, history.limits.lane_concurrency)
    return checked, found


def _beyond_cap(lane: Lane, cap: int) -> Iterator[Violation]:
    changes: list[tuple[int, int, str]] = []
    for job_id, spans in lane.jobs:
        live = [span for span in spans if not span.late]
        if live:
            over_ns = max(span.over_ns for span in live)
            if over_ns > live[0].start_ns:
                changes += [(live[0].start_ns, 1, job_id), (over_ns, -1, job_id)]
    held: dict[str, None] = {}
    for _, change, job_id in sorted(changes, key=lambda item: (item[0], item[1])):
        if change < 0:
            held.pop(job_id, None)
        else:
            held[job_id] = None
            if len(held) > cap:
                text = f"started while {', '.join(list(held)[:-1])} held a slot; the lane has {cap}"
                yield Violation(Rule.SLOTS, lane.user, job_id, text)


def leases(timeline: Timeline) -> tuple[int, list[Violation]]:
    """No job is in two hands: an attempt starts after the one before it is over, and numbers only grow."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        for job_id, spans in lane.jobs:
            live = [span for span in spans if not span.late]
            checked += len(live)
            for before, after in pairwise(live):
                if after.start_ns < before.over_ns or after.attempt.attempt < before.attempt.attempt:
                    text = (
                        f"{after.attempt.process} started attempt {after.attempt.attempt} while or after "
                        f"{before.attempt.process} ran attempt {before.attempt.attempt}"
                    )
                    found.append(Violation(Rule.ONE_LEASE, lane.user, job_id, text))
    return checked, found
