"""The rules about time: order of acceptance, order of starts, slots and leases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from chaos.checker.timeline import RESUME_NS, LaneSpans, Span, Timeline
from chaos.checker.verdict import Findings, Rule, Violation
from chaos.records import Accepted, History

CONCURRENT_NS = 50_000_000
"""Two starts of a lane in different processes that are closer than this (50 ms) count as simultaneous.

With more than one slot the lane gives the second job away as soon as Redis has recorded the start of the first. Which handler then
writes its first line sooner is up to the scheduler of the machine. There is no tolerance within one process, nor with one slot,
where the second job may not start before the first has ended.
"""


def check_acceptance(history: History) -> Findings:
    """Ids follow the order of acceptance, as far as clients can know it: within a batch, and whenever one request was answered
    before another was sent."""
    batches: dict[tuple[str, int], list[Accepted]] = defaultdict(list)
    by_user: dict[str, list[Accepted]] = defaultdict(list)
    for accepted in history.accepted:
        batches[accepted.client, accepted.sent_ns].append(accepted)
        by_user[accepted.user].append(accepted)
    found = [violation for batch in batches.values() for violation in _disorder_in_batch(batch)]
    first_sent_ns = _first_sent_ns(history)
    for accepted_of_user in by_user.values():
        found += _disorder_in_time(accepted_of_user, first_sent_ns)
    return len(history.accepted), found


def _first_sent_ns(history: History) -> dict[str, int]:
    """Return by tag when each request was sent first: one that was sent again may have been accepted the first time."""
    first: dict[str, int] = {}
    for request in history.requests():
        first[request.tag] = min(request.sent_ns, first.get(request.tag, request.sent_ns))
    return first


def _disorder_in_batch(batch: list[Accepted]) -> Iterator[Violation]:
    for before, after in pairwise(sorted(batch, key=lambda accepted: accepted.batch_index)):
        if before.job_id >= after.job_id:
            text = f"{before.job_id} came before it in its batch"
            yield Violation(Rule.ACCEPTANCE, after.user, after.job_id, text)


def _disorder_in_time(accepted_of_user: list[Accepted], first_sent_ns: dict[str, int]) -> Iterator[Violation]:
    by_answer = sorted(accepted_of_user, key=lambda accepted: accepted.answered_ns)
    highest, answered = "", 0
    for accepted in sorted(accepted_of_user, key=lambda accepted: first_sent_ns[accepted.tag]):
        sent_ns = first_sent_ns[accepted.tag]
        while answered < len(by_answer) and by_answer[answered].answered_ns < sent_ns:
            highest = max(highest, by_answer[answered].job_id)
            answered += 1
        if highest > accepted.job_id:
            text = f"{highest} was answered before it was sent"
            yield Violation(Rule.ACCEPTANCE, accepted.user, accepted.job_id, text)


def check_starts(history: History, timeline: Timeline) -> Findings:
    """The first starts of a lane's jobs follow the order of the lane."""
    slots = history.limits.lane_concurrency
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        earliest = _EarliestStart()
        for _, spans in reversed(lane.jobs):
            first = next((span for span in spans if not span.stale), None)
            if first is None:
                continue
            checked += 1
            if slots == 1 or not _may_have_started_before(first, spans, timeline):
                found += _overtaken(lane.user, first, earliest, timeline, CONCURRENT_NS if slots > 1 else 0)
            earliest.add(first)
    return checked, found


class _EarliestStart:
    """The earliest start among the later jobs of a lane: of all, and in each process."""

    def __init__(self) -> None:
        self.of_all: Span | None = None
        self.in_process: dict[str, Span] = {}

    def add(self, span: Span) -> None:
        process = span.attempt.process
        if self.of_all is None or span.start_ns < self.of_all.start_ns:
            self.of_all = span
        if process not in self.in_process or span.start_ns < self.in_process[process].start_ns:
            self.in_process[process] = span


def _may_have_started_before(first: Span, spans: Sequence[Span], timeline: Timeline) -> bool:
    """Tell whether Redis may have recorded an earlier start of the job: one that counts as stale here, or one that no handler saw,
    because the process died or lost its lease between the two.

    The job took its place in the order then, at an unknown moment, and was started again when its lease had expired. With one slot
    that makes no difference.
    """
    fault_ns = 2 * timeline.lease_ns + RESUME_NS
    return any(span.stale for span in spans) or timeline.fault_between(
        first.start_ns - fault_ns, first.start_ns
    )


def _overtaken(
    user: str, first: Span, earliest: _EarliestStart, timeline: Timeline, tolerance_ns: int
) -> Iterator[Violation]:
    in_same_process = earliest.in_process.get(first.attempt.process)
    if in_same_process is not None and in_same_process.start_ns < first.start_ns:
        yield _swap(user, first, in_same_process)
    elif earliest.of_all is not None and earliest.of_all.start_ns < timeline.earliest_start_ns(
        first.attempt, tolerance_ns
    ):
        yield _swap(user, first, earliest.of_all)


def _swap(user: str, first: Span, later: Span) -> Violation:
    ahead_ms = (first.start_ns - later.start_ns) / 1e6
    text = f"{later.attempt.job_id}, accepted later, started {ahead_ms:.3f} ms before it"
    return Violation(Rule.START_ORDER, user, first.attempt.job_id, text)


def check_retries(history: History, timeline: Timeline) -> Findings:
    """With one slot, all attempts of a job come before the first start of the lane's next job."""
    checked = 0
    found: list[Violation] = []
    if history.limits.lane_concurrency > 1:
        return 0, []
    for lane in timeline.lanes:
        last: Span | None = None
        for spans in _current_spans(lane):
            checked += 1
            if last is not None and last.start_ns > spans[0].start_ns:
                text = f"attempt {last.attempt.attempt} came after the start of {spans[0].attempt.job_id}"
                found.append(Violation(Rule.RETRY_ORDER, lane.user, last.attempt.job_id, text))
            last = max([*spans, *([last] if last else [])], key=lambda span: span.start_ns)
    return checked, found


def _current_spans(lane: LaneSpans) -> Iterator[list[Span]]:
    """Yield the spans of each job without stale ones."""
    for _, spans in lane.jobs:
        if current := [span for span in spans if not span.stale]:
            yield current


def check_slots(history: History, timeline: Timeline) -> Findings:
    """At most `lane_concurrency` jobs of a lane hold a slot. A job holds one from its first start to its last end, the waits
    between its attempts included."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        checked += len(lane.jobs)
        found += _beyond_slots(lane, history.limits.lane_concurrency)
    return checked, found


def _beyond_slots(lane: LaneSpans, slots: int) -> Iterator[Violation]:
    changes: list[tuple[int, int, str]] = []
    for spans in _current_spans(lane):
        until_ns, job_id = max(span.in_flight_until_ns for span in spans), spans[0].attempt.job_id
        if until_ns > spans[0].start_ns:
            changes += [(spans[0].start_ns, 1, job_id), (until_ns, -1, job_id)]
    holders: dict[str, None] = {}
    for _, change, job_id in sorted(changes, key=lambda item: (item[0], item[1])):
        if change < 0:
            holders.pop(job_id, None)
            continue
        holders[job_id] = None
        if len(holders) > slots:
            text = f"started while {', '.join(list(holders)[:-1])} held a slot; the lane has {slots}"
            yield Violation(Rule.SLOTS, lane.user, job_id, text)


def check_leases(timeline: Timeline) -> Findings:
    """No job runs twice at once: an attempt starts after the one before is over, and attempt numbers never fall."""
    checked = 0
    found: list[Violation] = []
    for lane in timeline.lanes:
        for spans in _current_spans(lane):
            checked += len(spans)
            for before, after in pairwise(spans):
                if (
                    after.start_ns < before.in_flight_until_ns
                    or after.attempt.attempt < before.attempt.attempt
                ):
                    text = (
                        f"{after.attempt.process} started attempt {after.attempt.attempt} while or after "
                        f"{before.attempt.process} ran attempt {before.attempt.attempt}"
                    )
                    found.append(Violation(Rule.ONE_LEASE, lane.user, after.attempt.job_id, text))
    return checked, found
