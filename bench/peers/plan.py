"""How much a benchmark measures: all of it, or what fits into 5 minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and repetitions."""

    limit_seconds: float
    """No run is started later than this; what is left out is reported."""
    rounds: int
    """Each figure is the median of so many."""
    between: bool
    """Whether Laneway is run before every peer, or once a round."""
    jobs: int
    slow_jobs: int
    """Jobs for the peers in `catalogue.OTHERS`."""
    users: tuple[int, ...]
    our_users: tuple[int, ...]
    """Numbers of users that only Laneway is run with."""
    others: bool
    """Whether the peers in `catalogue.OTHERS` are run, or plain Celery alone."""
    idle_jobs: int
    awaited_jobs: int
    loaded_seconds: float
    backlogs: tuple[int, ...]
    peer_backlog: int
    """The largest backlog that peers are run with."""
    heavy: tuple[int, ...]
    """Jobs of the heavy user, whom the light one must not wait for."""
    http_seconds: float
    idle_seconds: float
    handler_seconds: float
    """How long an ideal system would need for the jobs of one row of `handlers`."""


WHOLE = Plan(
    limit_seconds=float("inf"),
    rounds=3,
    between=True,
    jobs=60_000,
    slow_jobs=6_000,
    users=(1, 2, 5, 20, 1_000, 10_000),
    our_users=(100_000,),
    others=True,
    idle_jobs=300,
    awaited_jobs=5_000,
    loaded_seconds=5,
    backlogs=(1_000, 10_000, 100_000, 1_000_000),
    peer_backlog=100_000,
    heavy=(1_000, 10_000, 100_000),
    http_seconds=5,
    idle_seconds=10,
    handler_seconds=5,
)
QUICK = Plan(
    limit_seconds=280,
    rounds=1,
    between=False,
    jobs=10_000,
    slow_jobs=1_000,
    users=(1, 1_000),
    our_users=(),
    others=False,
    idle_jobs=60,
    awaited_jobs=500,
    loaded_seconds=1,
    backlogs=(1_000, 20_000),
    peer_backlog=20_000,
    heavy=(10_000,),
    http_seconds=1.5,
    idle_seconds=3,
    handler_seconds=1,
)
