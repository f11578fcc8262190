"""When the attempts of each job were really in flight.

The handler's own record says it, if the attempt has an end and its process kept the lease until then. Otherwise:

- A killed process ends its attempts. Nobody knows the exact moment, so the last moment at which the process was seen alive counts:
  an attempt that starts in between is no violation.
- A process that was frozen (SIGSTOP) or could not reach Redis loses its leases when they expire, and its attempts go on as zombies.
  It renewed them at most a third of the lease time before, and the janitor takes some time. So its leases count as given away half
  a lease time after it stopped: nobody may have them earlier, anybody may have them later.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos.records import Attempt, Disturbance, History

LEAST_OF_LEASE = 0.5
"""The part of the lease time that is certainly left when a process stops renewing: two thirds, less the delays of a busy machine."""

RESUME_NS = 2_000_000_000
"""How long after it resumed a process may still start handlers for leases that it lost while it was frozen."""

Period = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt as the rules see it.

    It was certainly in flight until `in_flight_until_ns`. `stale`: a process that had just resumed started it for a lease that
    was already given to another, so the rules ignore it.
    """

    attempt: Attempt
    in_flight_until_ns: int
    stale: bool

    @property
    def start_ns(self) -> int:
        """When the handler was called."""
        return self.attempt.start_ns


@dataclass(frozen=True, slots=True)
class LaneSpans:
    """The spans of one user's jobs: jobs in the order of their ids, which is that of acceptance, and spans by start."""

    user: str
    jobs: tuple[tuple[str, tuple[Span, ...]], ...]


class Periods:
    """The disturbances of each process, with overlapping ones joined."""

    def __init__(self, disturbances: Sequence[Disturbance]) -> None:
        of_all, of_one = [], defaultdict(list)
        for one in disturbances:
            if one.process is None:
                of_all.append((one.from_ns, one.until_ns))
            else:
                of_one[one.process].append((one.from_ns, one.until_ns))
        self._of_process: dict[str, list[Period]] = {
            process: _joined([*periods, *of_all]) for process, periods in of_one.items()
        }
        self._of_others = _joined(of_all)
        self._of_any = _joined([(one.from_ns, one.until_ns) for one in disturbances])

    def overlapping(self, process: str, from_ns: int, until_ns: int) -> Sequence[Period]:
        """Return the periods of a process that touch the time from `from_ns` to `until_ns`."""
        return _overlapping(self._of_process.get(process, self._of_others), from_ns, until_ns)

    def any_overlapping(self, from_ns: int, until_ns: int) -> bool:
        """Tell whether a period of any process touches the time from `from_ns` to `until_ns`."""
        return bool(_overlapping(self._of_any, from_ns, until_ns))


def _overlapping(periods: Sequence[Period], from_ns: int, until_ns: int) -> Sequence[Period]:
    first = bisect_right(periods, from_ns, key=lambda period: period[1])
    last = bisect_right(periods, until_ns, key=lambda period: period[0])
    return periods[first:last]


def _joined(periods: list[Period]) -> list[Period]:
    joined: list[Period] = []
    for from_ns, until_ns in sorted(periods):
        if joined and from_ns <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until_ns))
        else:
            joined.append((from_ns, until_ns))
    return joined


class Timeline:
    """The lanes of a history with their spans, and what happened to its processes."""

    def __init__(self, history: History) -> None:
        self._disturbed = Periods(history.disturbances)
        self._not_renewing = Periods([one for one in history.disturbances if one.renewals_blocked])
        self._deaths = {death.process: death for death in history.deaths}
        self._deaths_ns = sorted(death.last_alive_ns for death in history.deaths)
        disturbances_ns = [disturbance.from_ns for disturbance in history.disturbances]
        self.first_fault_ns = min([*self._deaths_ns, *disturbances_ns], default=None)
        """When the first process died or was disturbed; None in a run without faults."""
        self._history = history
        self.lease_ns = int(history.limits.lease_seconds * 1e9)
        self.lanes = self._lanes(history.attempts)

    def was_disturbed(self, attempt: Attempt, until_ns: int) -> bool:
        """Tell whether the attempt's process was disturbed, or died, between the start of the attempt and `until_ns`."""
        death = self._deaths.get(attempt.process)
        died = death is not None and death.last_alive_ns <= until_ns
        return died or bool(
            self._disturbed.overlapping(attempt.process, attempt.start_ns - RESUME_NS, until_ns)
        )

    def fault_between(self, from_ns: int, until_ns: int) -> bool:
        """Tell whether any process died, or could not renew its leases, in that time."""
        died = bisect_right(self._deaths_ns, until_ns) > bisect_left(self._deaths_ns, from_ns)
        return died or self._not_renewing.any_overlapping(from_ns, until_ns)

    def earliest_start_ns(self, attempt: Attempt, tolerance_ns: int) -> int:
        """Return the first moment at which the lane may have counted the attempt as started. Its process may have been frozen
        between the answer of Redis and the first line of the handler."""
        from_ns = attempt.start_ns - tolerance_ns
        periods = self._disturbed.overlapping(attempt.process, from_ns, attempt.start_ns)
        return min((start_ns - tolerance_ns for start_ns, _ in periods), default=from_ns)

    def _lanes(self, attempts: Iterable[Attempt]) -> tuple[LaneSpans, ...]:
        of_job: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            of_job[attempt.job_id].append(attempt)
        lanes: dict[str, list[tuple[str, tuple[Span, ...]]]] = defaultdict(list)
        for job_id in sorted(of_job):
            by_start = sorted(of_job[job_id], key=lambda attempt: attempt.start_ns)
            spans = tuple(self._span(attempt, by_start) for attempt in by_start)
            lanes[by_start[0].user].append((job_id, spans))
        return tuple(LaneSpans(user, tuple(jobs)) for user, jobs in sorted(lanes.items()))

    def _span(self, attempt: Attempt, all_of_job: Sequence[Attempt]) -> Span:
        until_ns = self._end_ns(attempt)
        lost_ns = self._lease_lost_ns(attempt.process, attempt.start_ns - RESUME_NS, until_ns)
        if lost_ns is None:
            return Span(attempt, until_ns, stale=False)
        given_away = any(
            other.process != attempt.process
            and other.attempt >= attempt.attempt
            and other.start_ns >= lost_ns
            for other in all_of_job
        )
        stale = lost_ns <= attempt.start_ns and given_away
        return Span(attempt, max(attempt.start_ns, min(until_ns, lost_ns)), stale)

    def _end_ns(self, attempt: Attempt) -> int:
        """Return when the attempt certainly held its slot for the last time. A Redis that came back empty knows nothing of it, even
        if its process had claimed the job before and started it after."""
        data_lost_ns = self._history.data_lost_after(attempt.start_ns - RESUME_NS)
        end_ns = self._own_end_ns(attempt)
        return end_ns if data_lost_ns is None else max(attempt.start_ns, min(end_ns, data_lost_ns))

    def _own_end_ns(self, attempt: Attempt) -> int:
        if attempt.end_ns is not None:
            return attempt.end_ns
        death = self._deaths.get(attempt.process)
        if death is not None:
            return max(death.last_alive_ns, attempt.start_ns)
        return attempt.start_ns  # nobody saw the process die, so nothing later can be proved

    def _lease_lost_ns(self, process: str, from_ns: int, until_ns: int) -> int | None:
        """Return the first moment in that time at which a lease of the process may have been given away."""
        for start_ns, end_ns in self._not_renewing.overlapping(process, from_ns, until_ns):
            moment = start_ns + int(self.lease_ns * LEAST_OF_LEASE)
            if moment <= min(end_ns, until_ns):
                return moment
        return None
