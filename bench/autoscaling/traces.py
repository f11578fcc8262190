"""The loads: arrivals and run times, drawn from a seed. Run times are log-normal with a deviation equal to the mean.

steady       2 h of 12 jobs/s of 60 users, 2 s each: 24 slots busy on average.
burst        2 h of 1 job/s of 60 users, 2 s each; three times, 300 users send 10 jobs each at once.
heavy user   One user sends 10,000 jobs of 1 s at once and has 5 slots; 10 others send a job a minute each.
light users  2 h of 5,000 users who send a job every 10 minutes each, 1 s: 8 slots busy on average.
night        24 h: from 08:00 to 20:00 up to 4 jobs/s of 3 s, rising and falling; at night one job every 45 minutes.
30 minutes   10 h: 20 users send 150 jobs of 25 to 35 minutes in the first 5 h: 15 slots busy on average.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

from bench.autoscaling.simulator import Trace

HOUR = 3600.0


def traces(seed: int, scale: float = 1.0) -> list[Trace]:
    """All six traces. `scale` shortens them (for tests): the same rates for a fraction of the time."""
    makers = (steady, burst, heavy_user, light_users, night, thirty_minutes)
    return [make(random.Random(f"{seed} {make.__name__}"), scale) for make in makers]


def steady(rng: random.Random, scale: float) -> Trace:
    """A steady load of many users."""
    length = 2 * HOUR * scale
    jobs = [(at, rng.randrange(60), _varied(rng, 2.0)) for at in _poisson(rng, 12.0, length)]
    return Trace("steady", tuple(jobs), length + 0.25 * HOUR)


def burst(rng: random.Random, scale: float) -> Trace:
    """A small load with three bursts."""
    length = 2 * HOUR * scale
    jobs = [(at, rng.randrange(60), _varied(rng, 2.0)) for at in _poisson(rng, 1.0, length)]
    for at in (length / 6, length / 2, length * 5 / 6):
        jobs += [(at, 100 + user, _varied(rng, 2.0)) for user in range(300) for _ in range(10)]
    return Trace("burst", tuple(sorted(jobs, key=_arrival)), length + 0.25 * HOUR)


def heavy_user(rng: random.Random, scale: float) -> Trace:
    """One user with a long queue beside light users."""
    count = int(10_000 * scale)
    length = count / 5 * 1.5
    jobs = [(60.0, 0, _varied(rng, 1.0)) for _ in range(count)]
    jobs += [(at, 1 + rng.randrange(10), _varied(rng, 1.0)) for at in _poisson(rng, 1 / 6, length)]
    return Trace("heavy user", tuple(sorted(jobs, key=_arrival)), length + 0.25 * HOUR)


def light_users(rng: random.Random, scale: float) -> Trace:
    """Thousands of users with few jobs each."""
    length = 2 * HOUR * scale
    jobs = [(at, rng.randrange(5000), _varied(rng, 1.0)) for at in _poisson(rng, 5000 / 600, length)]
    return Trace("light users", tuple(jobs), length + 0.25 * HOUR)


def night(rng: random.Random, scale: float) -> Trace:
    """A day with a busy daytime and a quiet night."""
    length = 24 * HOUR * scale

    def rate(at: float) -> float:
        hour = at / length * 24
        return 4.0 * math.sin((hour - 8) / 12 * math.pi) ** 2 if 8 <= hour <= 20 else 1 / (0.75 * HOUR)

    jobs = [(at, rng.randrange(200), _varied(rng, 3.0)) for at in _poisson(rng, 4.0, length, rate)]
    return Trace("night", tuple(jobs), length)


def thirty_minutes(rng: random.Random, scale: float) -> Trace:
    """Jobs of half an hour."""
    length = 5 * HOUR * scale
    jobs = [(at, rng.randrange(20), rng.uniform(1500, 2100)) for at in _poisson(rng, 1 / 120, length)]
    return Trace("30 minutes", tuple(jobs), 2 * length)


def _arrival(job: tuple[float, int, float]) -> float:
    return job[0]


def _varied(rng: random.Random, mean: float) -> float:
    """Draw from a log-normal distribution with a coefficient of variation of 1."""
    return rng.lognormvariate(math.log(mean) - math.log(2) / 2, math.sqrt(math.log(2)))


def _poisson(
    rng: random.Random, max_rate: float, until: float, rate: Callable[[float], float] | None = None
) -> Iterator[float]:
    """Arrival times at `rate(at)` a second, at most `max_rate` (by thinning); at `max_rate` if no rate is given."""
    at = rng.expovariate(max_rate)
    while at < until:
        if rate is None or rng.random() * max_rate < rate(at):
            yield at
        at += rng.expovariate(max_rate)
