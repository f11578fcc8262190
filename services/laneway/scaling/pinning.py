"""Which replicas must not be stopped, and in which order the others go.

A stopping worker lets its jobs run on for its shutdown grace and then returns them to the heads of their lanes. Nothing is
lost, but a job that had run for a while starts again. So the rule never goes below the number of replicas with a job that
would outlast the grace, and the operator gives those the highest deletion cost: a ReplicaSet deletes pods that are not
ready first, then those of the lowest cost.
"""

from __future__ import annotations

from collections.abc import Collection

GRACE_FRACTION = 5.0
"""With exponentially distributed run times and a mean of a fifth of the grace, a job outlasts the grace with probability
exp(-5), under 1 %. A job that has already run for longer than that fifth counts as one of a longer kind."""

PINNED_COST = 1_000_000
"""More than any number of jobs in flight: one long job outweighs a hundred short ones."""


def pins(age_seconds: float, service_seconds: float | None, grace_seconds: float) -> bool:
    """Whether stopping its replica now would probably interrupt a running job.

    `service_seconds`: the mean run time of jobs, None if it is unknown: then every job pins.
    """
    if service_seconds is None:
        return True
    return max(age_seconds, service_seconds) * GRACE_FRACTION > grace_seconds


def deletion_cost(
    ages_seconds: Collection[float], service_seconds: float | None, grace_seconds: float
) -> int:
    """The pod deletion cost of a replica that runs jobs of these ages. An idle replica costs 0."""
    pinned = any(pins(age, service_seconds, grace_seconds) for age in ages_seconds)
    return len(ages_seconds) + (PINNED_COST if pinned else 0)
