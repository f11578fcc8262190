"""Which figures of each case are compared with the peers, what they are called, and whether more is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that is compared."""

    figure: str
    label: str
    more_is_better: bool


def _more(figure: str, label: str) -> Measure:
    return Measure(figure, label, more_is_better=True)


def _less(figure: str, label: str) -> Measure:
    return Measure(figure, label, more_is_better=False)


MEASURES: dict[str, tuple[Measure, ...]] = {
    "throughput": (
        _more("jobs_per_second", "jobs/s"),
        _less("cpu_us_per_job", "CPU us a job, workers and Redis"),
    ),
    "latency": (_less("p50_ms", "idle latency p50, ms"), _less("p99_ms", "idle latency p99, ms")),
    "load": (
        _less("p50_ms", "latency at half load p50, ms"),
        _less("p99_ms", "latency at half load p99, ms"),
    ),
    "producer": (_more("enqueued_per_second", "jobs/s of a producer that awaits each"),),
    "fairness": (_less("p50_ms", "wait of a light user, ms"),),
    "backlog": (
        _less("redis_us_per_job", "Redis us a job"),
        _less("bytes_per_queued_job", "Redis bytes a queued job"),
    ),
    "http": (
        _more("requests_per_second", "HTTP enqueue, requests/s"),
        _less("p99_ms", "HTTP enqueue p99, ms"),
        _less("cpu_us_per_request", "HTTP enqueue, CPU us of the server a request"),
    ),
    "batches": (_more("jobs_per_second", "HTTP enqueue in batches of 100, jobs/s"),),
    "memory": (_less("megabytes", "MB (PSS)"), _less("idle_cpu_percent", "idle CPU, %")),
    "handlers": (_more("percent_of_ideal", "throughput, % of the ideal"),),
    "mix": (_less("times_alone", "p99 wait of 1 ms jobs beside 1 s jobs, over that without"),),
}
UNITS = {"users": "users", "heavy": "jobs of the heavy user", "backlog": "jobs queued", "lanes": "lanes"}


def describe(parameters: tuple[tuple[str, int | str], ...]) -> str:
    """Return the parameters of a case in words."""
    words = []
    for name, value in sorted(parameters, key=lambda pair: pair[0], reverse=True):
        unit = UNITS.get(name)
        if unit and value == 1:
            unit = unit.removesuffix("s")
        words.append(f"{value:,} {unit}" if unit else str(value))
    return ", ".join(words)
