"""What Laneway must reach beside its peers. Every target is a ratio within one run, or a size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.peers.catalogue import OURS, RIVALS
from bench.peers.results import Results

Figure = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for a figure."""

    text: str
    figure: Figure
    bound: float
    at_least: bool
    unit: str = ""

    def reached(self, value: float) -> bool:
        """Tell whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


def _over(name: str, case: str, peer: str, synced: bool | None, **parameters: int | str) -> Figure:
    """Return our figure over that of a peer, or over the best rival's where `peer` is `best`."""

    def value(results: Results) -> float | None:
        ours = results.figure(name, case, OURS, synced, **parameters)
        names = [rival.name for rival in RIVALS] if peer == "best" else [peer]
        theirs = [results.figure(name, case, one, synced, **parameters) for one in names]
        found = [one for one in theirs if one]
        return ours / max(found) if ours is not None and found else None

    return value


def _own(name: str, case: str, synced: bool | None = None, **parameters: int | str) -> Figure:
    return lambda results: results.figure(name, case, OURS, synced, **parameters)


def _extreme(choose: Callable[[list[float]], float], name: str, case: str) -> Figure:
    """Return the highest or lowest figure of ours in a case, over all its parameters."""

    def value(results: Results) -> float | None:
        found = [
            figures[name]
            for key, figures in results.medians().items()
            if (key.case, key.peer) == (case, OURS) and name in figures
        ]
        return choose(found) if found else None

    return value


def _sum(name: str, case: str) -> Figure:
    """Return the sum of a figure of ours over all runs of a case: for faults, of which a median may hide some."""

    def value(results: Results) -> float | None:
        ours = [one for one in results.measurements if (one.case, one.peer) == (case, OURS)]
        found = [one.figures[name] for one in ours if name in one.figures]
        return sum(found) if found else None

    return value


def _users_kept(results: Results) -> float | None:
    many = results.figure("jobs_per_second", "throughput", OURS, True, users=100_000)
    few = results.figure("jobs_per_second", "throughput", OURS, True, users=1_000)
    return many / few if many and few else None


def _no_dip(synced: bool) -> Figure:
    """Return our lowest jobs/s with 1 to 20 users over the lower of its two ends: a dip between is less than 1."""

    def value(results: Results) -> float | None:
        rates = {
            users: results.figure("jobs_per_second", "throughput", OURS, synced, users=users)
            for users in (1, 2, 5, 20)
        }
        if any(rate is None for rate in rates.values()):
            return None
        known = {users: rate for users, rate in rates.items() if rate}
        return min(known.values()) / min(known[1], known[20])

    return value


def _history_kept(results: Results) -> float | None:
    where = ("throughput", OURS, True)
    archived = results.figure("archived_per_second", *where, users=1_000)
    processed = results.figure("jobs_per_second", *where, users=1_000)
    return archived / processed if archived and processed else None


def _one_lane(results: Results, name: str) -> list[float]:
    """Return a figure of ours for each backlog in one lane, the shortest first."""
    found = {
        int(dict(key.parameters)["backlog"]): figures[name]
        for key, figures in results.medians().items()
        if (key.case, key.peer) == ("backlog", OURS) and dict(key.parameters)["lanes"] == 1
    }
    return [found[backlog] for backlog in sorted(found)]


def _bytes(results: Results) -> float | None:
    found = _one_lane(results, "bytes_per_queued_job")
    return found[-1] if found else None


def _flat(results: Results) -> float | None:
    """Return our highest cost a job over any backlog, over that with the shortest."""
    costs = _one_lane(results, "redis_us_per_job")
    return max(costs) / costs[0] if len(costs) > 1 else None


def _lanes_flat(results: Results) -> float | None:
    many = results.figure("redis_us_per_job", "backlog", OURS, False, backlog=100_000, lanes=100_000)
    one = results.figure("redis_us_per_job", "backlog", OURS, False, backlog=100_000, lanes=1)
    return many / one if many and one else None


def _at_least(text: str, figure: Figure, bound: float, unit: str = "") -> Target:
    return Target(text, figure, bound, at_least=True, unit=unit)


def _at_most(text: str, figure: Figure, bound: float, unit: str = "") -> Target:
    return Target(text, figure, bound, at_least=False, unit=unit)


def _rate(users: int, synced: bool, peer: str) -> Figure:
    return _over("jobs_per_second", "throughput", peer, synced, users=users)


TARGETS = (
    _at_least("jobs/s of 1 user over BullMQ, synced", _rate(1, True, "bullmq"), 2),
    _at_least("jobs/s of 1 user over BullMQ, not synced", _rate(1, False, "bullmq"), 1.4),
    _at_least("jobs/s of 2 and 5 users over those of 1 and 20, synced", _no_dip(True), 0.95),
    _at_least("jobs/s of 2 and 5 users over those of 1 and 20, not synced", _no_dip(False), 0.95),
    _at_least("jobs/s of 1,000 users over the best peer, synced", _rate(1_000, True, "best"), 2),
    _at_least("jobs/s of 1,000 users over the best peer, not synced", _rate(1_000, False, "best"), 1.5),
    _at_least("jobs/s of 10,000 users over the best peer, synced", _rate(10_000, True, "best"), 2),
    _at_least("jobs/s of 10,000 users over the best peer, not synced", _rate(10_000, False, "best"), 1.5),
    _at_least("jobs/s of 100,000 users over 1,000, synced", _users_kept, 0.85),
    _at_most("starts out of order, over all runs", _sum("out_of_order", "throughput"), 0),
    _at_most("jobs that started more than once, over all runs", _sum("repeated", "throughput"), 0),
    _at_most(
        "CPU a job, 1,000 users, synced", _own("cpu_us_per_job", "throughput", True, users=1_000), 40, "us"
    ),
    _at_most("idle p50 over GroupMQ, synced", _over("p50_ms", "latency", "groupmq", True), 1),
    _at_most("idle p99 over GroupMQ, synced", _over("p99_ms", "latency", "groupmq", True), 1.2),
    _at_most("p50 at half load over GroupMQ, synced", _over("p50_ms", "load", "groupmq", True), 1),
    _at_most("p99 at half load over GroupMQ, synced", _over("p99_ms", "load", "groupmq", True), 1.2),
    _at_least(
        "an awaiting producer over BullMQ, synced",
        _over("enqueued_per_second", "producer", "bullmq", True),
        1.1,
    ),
    _at_least(
        "an awaiting producer over BullMQ, not synced",
        _over("enqueued_per_second", "producer", "bullmq", False),
        1.1,
    ),
    _at_least(
        "HTTP enqueue over Express + Bull with a prebuilt key, synced",
        _over("requests_per_second", "http", "express-bull", True),
        2.5,
    ),
    _at_most(
        "HTTP enqueue p99 over Express + Bull, synced", _over("p99_ms", "http", "express-bull", True), 1
    ),
    _at_least("archived/s over processed/s, 1,000 users, synced", _history_kept, 0.9),
    _at_most(
        "memory of a worker with 2 processes", _own("megabytes", "memory", True, program="worker"), 150, "MB"
    ),
    _at_most(
        "memory of an API with 2 processes", _own("megabytes", "memory", True, program="API"), 100, "MB"
    ),
    _at_most("idle CPU of worker and API, the higher", _extreme(max, "idle_cpu_percent", "memory"), 1, "%"),
    _at_most("Redis bytes a queued job of 50 bytes, in the longest backlog", _bytes, 150),
    _at_most("Redis's cost a job at its highest over any backlog, over that with the shortest", _flat, 1.15),
    _at_most("Redis's cost a job in 100,000 lanes over that in one", _lanes_flat, 1.15),
    _at_least(
        "handlers of 1 to 100 ms: throughput at its lowest",
        _extreme(min, "percent_of_ideal", "handlers"),
        95,
        "%",
    ),
    _at_most(
        "p99 wait of 1 ms jobs beside 1 s jobs over that without", _extreme(max, "times_alone", "mix"), 2
    ),
)
