"""When the attempts of each job were truly in flight.

A handler's own end says it, if there is one and if the process kept its lease until then. Otherwise:

- A process that was killed ends its attempts. The exact moment is not known, so the last moment at which the
  process was seen alive counts: whoever starts in between is not accused.
- A process that stood still (SIGSTOP), or could not reach Redis, loses its leases when they run out, and its
  attempts go on as zombies. It renewed them at most a third of the lease before it stood still and the
  janitor takes time, so they count as given away half a lease after it did: earlier nobody may have them,
  later anybody may.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos.records import Attempt, Disturbance, History

LEAST_OF_LEASE = 0.5
"""Part of the lease that is surely left when a process stops renewing. Two thirds, less what a busy machine
delays."""

RESUME_NS = 2_000_000_000
"""How long after it woke up a process may still start handlers for leases that it lost while it stood
still."""


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt as the rules see it. `over_ns`: it surely was in flight until then. `late`: it was started
    for a lease that had been given to another, by a process that had just stood still; it counts for
    nothing."""

    attempt: Attempt
    over_ns: int
    lost_ns: int | None
    late: bool

    @property
    def start_ns(self) -> int:
        return self.attempt.start_ns


@dataclass(frozen=True, slots=True)
class Lane:
    """The spans of one user's jobs, each job's by start, jobs in the order of acceptance (that of their
    ids)."""

    user: str
    jobs: tuple[tuple[str, tuple[Span, ...]], ...]


class Periods:
    """Some disturbances of each process, overlapping ones joined."""

    def __init__(self, found: Iterable[Disturbance]) -> None:
        everywhere, of_one = [], defaultdict(list)
        for one in found:
            if one.process is None:
                everywhere.append((one.from_ns, one.until_ns))
            else:
                of_one[one.process].append((one.from_ns, one.until_ns))
        self._of: dict[str, list[tuple[int, int]]] = {
            process: _joined([*periods, *everywhere]) for process, periods in of_one.items()
        }
        self._others = _joined(everywhere)

    def within(self, process: str, from_ns: int, until_ns: int) -> Sequence[tuple[int, int]]:
        """Those of the process that touch the time from `from_ns` to `until_ns`."""
        periods = self._of.get(process, self._others)
        first = bisect_right(periods, from_ns, key=lambda period: period[1])
        last = bisect_right(periods, until_ns, key=lambda period: period[0])
        return periods[first:last]


def _joined(periods: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for from_ns, until_ns in sorted(periods):
        if joined and from_ns <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until_ns))
        else:
            joined.append((from_ns, until_ns))
    return joined


class Timeline:
    """The lanes of a history, and what happened to its processes."""

    def __init__(self, history: History) -> None:
        self._slow = Periods(history.disturbances)
        self._silent = Periods(period for period in history.disturbances if period.silent)
        self.deaths = {death.process: death for death in history.deaths}
        self.first_fault_ns = min(
            [
                *(death.at_ns for death in history.deaths),
                *(period.from_ns for period in history.disturbances),
            ],
            default=None,
        )
        self.lease_ns = int(history.limits.lease_seconds * 1e9)
        of_job: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in history.attempts:
            of_job[attempt.job_id].append(attempt)
        lanes: dict[str, list[tuple[str, tuple[Span, ...]]]] = defaultdict(list)
        for job_id in sorted(of_job):
            found = sorted(of_job[job_id], key=lambda attempt: attempt.start_ns)
            lanes[found[0].user].append((job_id, tuple(self._span(attempt, found) for attempt in found)))
        self.lanes = tuple(Lane(user, tuple(jobs)) for user, jobs in sorted(lanes.items()))

    def lost(self, process: str, from_ns: int, until_ns: int) -> int | None:
        """The first moment at which a lease of the process may have been given away in that time."""
        for start_ns, end_ns in self._silent.within(process, from_ns, until_ns):
            moment = start_ns + int(self.lease_ns * LEAST_OF_LEASE)
            if moment <= min(end_ns, until_ns):
                return moment
        return None

    def faulty(self, attempt: Attempt, until_ns: int) -> bool:
        """Whether the attempt's process was disturbed, or died, between its start and `until_ns`."""
        death = self.deaths.get(attempt.process)
        died = death is not None and death.at_ns <= until_ns
        return died or bool(self._slow.within(attempt.process, attempt.start_ns - RESUME_NS, until_ns))

    def earliest_ns(self, attempt: Attempt, tolerance_ns: int) -> int:
        """The first moment at which the lane may have counted the attempt as started: its process may have
        stood still between Redis's answer and the handler's first line."""
        from_ns = attempt.start_ns - tolerance_ns
        periods = self._slow.within(attempt.process, from_ns, attempt.start_ns)
        return min((start_ns - tolerance_ns for start_ns, _ in periods), default=from_ns)

    def _span(self, attempt: Attempt, all_of_job: Sequence[Attempt]) -> Span:
        death = self.deaths.get(attempt.process)
        if attempt.end_ns is not None:
            over_ns = attempt.end_ns
        elif death is not None:
            over_ns = max(death.at_ns, attempt.start_ns)
        else:  # nobody saw the process die: until the job's next start, if any, it may have lived
            over_ns = attempt.start_ns
        lost_ns = self.lost(attempt.process, attempt.start_ns - RESUME_NS, over_ns)
        another = any(
            other.process != attempt.process and other.attempt >= attempt.attempt for other in all_of_job
        )
        late = lost_ns is not None and lost_ns <= attempt.start_ns and another
        if lost_ns is not None:
            over_ns = max(attempt.start_ns, min(over_ns, lost_ns))
        return Span(attempt, over_ns, lost_ns, late)
